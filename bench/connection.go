package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// connection carries the calls of one of those who call at once. It returns the answer's status and, for those that
// are not the wanted one, the beginning of its body.
type connection interface {
	ask(who caller, body string) (status int, answer []byte, err error)
	close()
}

// keptAnswer is how much of an answer is kept to be looked at, in bytes.
const keptAnswer = 4096

// connectionsOf returns what opens each of a job's connections. With HTTP/2 they are streams of as few
// connections as Go's transport likes.
func connectionsOf(job loadJob) func() connection {
	if !job.HTTP2 {
		return func() connection { return &plainConnection{job: job} }
	}
	transport := &http.Transport{MaxIdleConnsPerHost: job.Connections, MaxConnsPerHost: job.Connections, DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return func() connection { return streamConnection{job, transport} }
}

// plainConnection is a connection of HTTP/1.1 that is read and written by who calls: Go's transport has two more goroutines
// for each, and what they cost would be part of every latency.
type plainConnection struct {
	job    loadJob
	conn   net.Conn
	reader *bufio.Reader
	out    bytes.Buffer
	answer [keptAnswer]byte
}

func (c *plainConnection) ask(who caller, body string) (int, []byte, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.job.URL, "http://"))
		if err != nil {
			return 0, nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	status, answer, keep, err := c.roundTrip(who, body)
	if err != nil || !keep {
		c.close()
	}
	return status, answer, err
}

func (c *plainConnection) roundTrip(who caller, body string) (status int, answer []byte, keep bool, err error) {
	c.out.Reset()
	c.out.WriteString("POST " + who.Path + " HTTP/1.1\r\nHost: " + c.job.Host + "\r\nUser-Agent: bench\r\n")
	for name, values := range who.Header {
		for _, value := range values {
			c.out.WriteString(name + ": " + value + "\r\n")
		}
	}
	c.out.WriteString("Content-Type: application/json; charset=utf-8\r\nAccept: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return 0, nil, false, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, nil, false, err
	}
	defer resp.Body.Close()
	answer, err = c.read(resp)
	return resp.StatusCode, answer, !resp.Close, err
}

func (c *plainConnection) read(resp *http.Response) ([]byte, error) {
	return readAnswer(resp, c.answer[:])
}

func (c *plainConnection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// readAnswer reads an answer to its end and returns its beginning, in kept.
func readAnswer(resp *http.Response, kept []byte) ([]byte, error) {
	n, err := io.ReadFull(resp.Body, kept)
	switch err {
	case io.EOF, io.ErrUnexpectedEOF:
		// A body that is shorter than its Content-Length ends so too.
		if resp.ContentLength >= 0 && int64(n) != resp.ContentLength {
			return kept[:n], io.ErrUnexpectedEOF
		}
		return kept[:n], nil
	case nil:
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return kept[:n], err
}

// streamConnection is a stream of a connection of HTTP/2.
type streamConnection struct {
	job       loadJob
	transport *http.Transport
}

func (c streamConnection) ask(who caller, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.job.URL+who.Path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Host = c.job.Host
	for name, values := range who.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Accept", "application/json")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp, make([]byte, keptAnswer))
	return resp.StatusCode, answer, err
}

func (c streamConnection) close() {}
