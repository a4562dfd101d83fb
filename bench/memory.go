package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// burden is a kind of call whose memory must be bounded.
type burden struct {
	name   string
	body   string // with %d for a number of its own
	length int    // of the body, in bytes
	slow   bool   // read the answer at some 2 MB a second, for 3 s, and then leave
}

const (
	// callsAtOnce is how many of them are under way at a time.
	callsAtOnce = 16
	maxBody     = 2 << 20 // the gateway's default
)

// measureMemory measures what calls that could be large take of the gateway's memory.
func measureMemory(r *room) (s section, err error) {
	service := r.service(plainTenant, plainTenant)
	call := func(connection int) string {
		return fmt.Sprintf(`{"ErpConnectionId":%d,"InternalKeyIds":[%%d]}`, connection)
	}
	// As many keys as are taken, and blanks up to the limit.
	keys := strings.Repeat("1234567,", 99_999)
	largest := fmt.Sprintf(`{"ErpConnectionId":%d,"InternalKeyIds":[%s%%d]`, heldConnection, keys)
	largest += strings.Repeat(" ", maxBody-len(largest)-8) + "}"
	s.head = []string{fmt.Sprintf("%d calls at once", callsAtOnce), "live per call, beside its body", "resident at the peak, beside its body"}
	for _, b := range []burden{
		{name: "a short call whose answer takes 2 s", body: call(heldConnection)},
		{name: "a body at the limit (2 MiB, 100 000 keys), its answer takes 2 s", body: largest, length: maxBody},
		{name: "an answer of 100 MB", body: call(longConnection)},
		{name: "an answer of 100 MB, a reader of 2 MB/s that leaves after 3 s", body: call(longConnection), slow: true},
		{name: "a bomb of 10 GiB in 10 MB of gzip", body: call(packedConnection)},
	} {
		resident, err := r.resident(service, b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", b.name, err)
		}
		live, err := r.live(service, b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", b.name, err)
		}
		resident, live = resident-float64(b.length), live-float64(b.length)
		fmt.Fprintf(os.Stderr, "%-70s live %.0f KiB, resident %.0f KiB\n", b.name, live/1024, resident/1024)
		s = s.row(b.name, fmt.Sprintf("%.0f KiB", live/1024), fmt.Sprintf("%.0f KiB", resident/1024))
		s.goals = append(s.goals, atMost(5, "live memory per call, beside its body: "+b.name, live/1024, 1024, "%.0f KiB"))
	}
	return s, nil
}

// resident returns what each call makes the process have more at its peak, garbage among it, in bytes.
func (r *room) resident(who caller, b burden) (float64, error) {
	gateway, err := r.warm(who)
	if err != nil {
		return 0, err
	}
	defer gateway.stop()
	if err := gateway.forgetPeak(); err != nil {
		return 0, err
	}
	before, _, err := gateway.resident()
	if err != nil {
		return 0, err
	}
	if err := r.carry(gateway, who, b); err != nil {
		return 0, err
	}
	_, peak, err := gateway.resident()
	return float64(peak-before) / callsAtOnce, err
}

// live returns what each call keeps of heap and stacks at the worst of many collections, in bytes.
func (r *room) live(who caller, b burden) (float64, error) {
	gateway, err := r.warm(who)
	if err != nil {
		return 0, err
	}
	defer gateway.stop()
	empty, err := r.collected(gateway)
	if err != nil {
		return 0, err
	}
	most := empty
	ended := make(chan error, 1)
	go func() { ended <- r.carry(gateway, who, b) }()
	for {
		select {
		case err := <-ended:
			return (most - empty) / callsAtOnce, err
		case <-time.After(50 * time.Millisecond):
		}
		now, err := r.collected(gateway)
		if err != nil {
			return 0, err
		}
		most = max(most, now)
	}
}

// warm starts a gateway that has served as many short calls.
func (r *room) warm(who caller) (process, error) {
	gateway, err := r.serve(gatewayConfig{})
	if err != nil {
		return gateway, err
	}
	return gateway, r.carry(gateway, who, burden{body: `{"ErpConnectionId":612,"InternalKeyIds":[%d]}`})
}

// carry makes the calls at once and reads their answers.
func (r *room) carry(gateway process, who caller, b burden) error {
	var group sync.WaitGroup
	failures := make([]error, callsAtOnce)
	for i := range callsAtOnce {
		group.Go(func() { failures[i] = r.carryOne(gateway, who, b, i) })
	}
	group.Wait()
	return errors.Join(failures...)
}

func (r *room) carryOne(gateway process, who caller, b burden, number int) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	body := strings.Replace(b.body, "%d", fmt.Sprint(1_000_000+number), 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+gateway.addr+who.Path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Host, req.Header = "localhost:"+portOf(gateway.addr), who.Header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("HTTP %d: %.300s", resp.StatusCode, raw)
	}
	if !b.slow {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	for range 30 {
		if _, err := io.CopyN(io.Discard, resp.Body, 200_000); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

var memStat = regexp.MustCompile(`(?m)^# (HeapAlloc|Stack) = (\d+)`)

// collected has the gateway collect its garbage, and gives what it then uses of heap and stacks, in bytes.
func (r *room) collected(gateway process) (float64, error) {
	page, err := r.ask(gateway, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, found := range memStat.FindAllStringSubmatch(string(page), -1) {
		n, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	if total == 0 {
		return 0, errors.New("the admin API gives no memory profile")
	}
	return total, nil
}
