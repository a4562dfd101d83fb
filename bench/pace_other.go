//go:build !linux

package main

import "time"

// pace tells when requests are due, in due, which it closes at the end.
func pace(due chan<- time.Time, began, end time.Time, rate int) {
	defer close(due)
	for i := 0; ; i++ {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if !at.Before(end) {
			return
		}
		time.Sleep(time.Until(at))
		due <- at
	}
}
