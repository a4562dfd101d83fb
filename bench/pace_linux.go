package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace tells when requests are due, in due, which it closes at the end. Go's own timers are late by up to
// a millisecond in a program that has nothing else to do, which would be most of every latency: so it is a thread that the kernel wakes.
func pace(due chan<- time.Time, began, end time.Time, rate int) {
	defer close(due)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Without this the kernel may be late by 50 µs.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for i := 0; ; i++ {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if !at.Before(end) {
			return
		}
		for {
			wait := time.Until(at)
			if wait <= 0 {
				break
			}
			rest := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&rest, nil) // an interrupted one goes on
		}
		due <- at
	}
}
