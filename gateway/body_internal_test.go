package gateway

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// The end of a body is io.EOF alone, whatever length was announced.
func TestABodyIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 10, 511, 512, 513, 100_000} {
		body := strings.Repeat("b", length)
		for _, announced := range []int{-1, 0, length - 1, length, length + 1, 2 * length} {
			for name, reader := range map[string]io.Reader{
				"whole": strings.NewReader(body), "by the byte": iotest.OneByteReader(strings.NewReader(body)), "with its end": iotest.DataErrReader(strings.NewReader(body)),
			} {
				if got, err := readWhole(reader, int64(announced)); err != nil || string(got) != body {
					t.Errorf("%d bytes, announced %d, %s: %d bytes, %v", length, announced, name, len(got), err)
				}
			}
			broken := io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, err := readWhole(broken, int64(announced)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes, announced %d, broken off: %v", length, announced, err)
			}
		}
	}
}
