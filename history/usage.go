package history

import (
	"fmt"
	"maps"
	"time"

	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// KeepUsage is how long days are kept at least, where Retention.Keep is shorter: the month of a year ago can still be told.
const KeepUsage = 400 * 24 * time.Hour

// UsageFilter says which usage is wanted. A zero field lets all through.
type UsageFilter struct {
	// From (inclusive) and To (exclusive) bound the days; their time of day is ignored. Days are UTC's.
	From, To                 time.Time
	Environment, App, Tenant string
	// Whole sums the days up: one entry for each app, tenant and connection.
	Whole bool
}

// Usages is what was asked for, by environment, tenant, app, connection and day.
type Usages struct {
	Entries []Usage
	// Since is when counting began: what was before is not known, which is not zero.
	Since time.Time
}

// Usage is what the calls of an app in a tenant over a connection came to, on one day or altogether. A call belongs to the day
// on which it began, and is counted when it is over.
type Usage struct {
	// Day is midnight UTC; zero for the sum of days.
	Day                      time.Time
	Environment, App, Tenant string
	// Connection is the ERP connection; 0: the CRM, or a call that was refused before it was understood.
	Connection int32
	Counts
	// LastSuccess and LastFailure are when the last of such resyncs began; zero: there was none.
	LastSuccess, LastFailure time.Time
}

// Counts are numbers of calls.
type Counts struct {
	// Calls is how many there were: those in Outcomes, Refused, Replayed and Questions.
	Calls int64
	// Keys is how many keys the calls in Outcomes named; one of everything names none.
	Keys int64
	// Outcomes are the calls that ran or were to run, by what they came to.
	Outcomes map[outcome.Class]int64
	// Refused are the calls that were refused, by reason.
	Refused map[string]int64
	// Replayed is how many were answered with a kept answer.
	Replayed int64
	// Questions is how many asked something and moved nothing.
	Questions int64
	Durations
}

// Succeeded returns how many resyncs succeeded.
func (c *Counts) Succeeded() int64 { return c.sum(Closes) }

// Failed returns how many resyncs failed.
func (c *Counts) Failed() int64 { return c.sum(Opens) }

func (c *Counts) sum(which func(outcome.Class) bool) (n int64) {
	for class, calls := range c.Outcomes {
		if which(class) {
			n += calls
		}
	}
	return n
}

// RefusedCalls returns how many calls were refused.
func (c *Counts) RefusedCalls() (n int64) {
	for _, calls := range c.Refused {
		n += calls
	}
	return n
}

// Add adds what another has counted.
func (c *Counts) Add(other *Counts) { c.add(other, 1) }

func (c *Counts) add(other *Counts, sign int64) {
	c.Calls += sign * other.Calls
	c.Keys += sign * other.Keys
	c.Replayed += sign * other.Replayed
	c.Questions += sign * other.Questions
	addMap(&c.Outcomes, other.Outcomes, sign)
	addMap(&c.Refused, other.Refused, sign)
	c.Timed += sign * other.Timed
	c.Sum += time.Duration(sign) * other.Sum
	if sign > 0 {
		c.Longest = max(c.Longest, other.Longest)
	}
	for i, n := range other.Within {
		c.Within[i] += sign * n
	}
}

func addMap[K comparable](into *map[K]int64, from map[K]int64, sign int64) {
	if *into == nil && len(from) > 0 {
		*into = make(map[K]int64, len(from))
	}
	for key, n := range from {
		if (*into)[key] += sign * n; (*into)[key] == 0 {
			delete(*into, key)
		}
	}
}

// Count adds a call that is over, or with the sign -1 takes one out again; a longest duration stays.
func (c *Counts) Count(r *Row, sign int64) {
	one := Counts{Calls: 1}
	switch {
	case r.Decision == "replayed":
		one.Replayed = 1
	case r.Outcome == "":
		one.Refused = map[string]int64{r.Reason: 1}
	case !r.Operation.Resyncs():
		one.Questions = 1
	default:
		one.Outcomes, one.Keys = map[outcome.Class]int64{r.Outcome: 1}, int64(r.KeyCount)
		if r.Sends > 0 && r.OutcomeCause != NoEnd {
			one.time(r.Ended.Sub(r.Started))
		}
	}
	c.add(&one, sign)
}

// DurationBounds are what Durations.Within counts up to, inclusive; its last number is what took longer.
var DurationBounds = [...]time.Duration{
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
}

// Durations are how long resyncs took that were sent and whose end was seen, from when they arrived to when their answer was
// passed on.
type Durations struct {
	Timed   int64
	Sum     time.Duration
	Longest time.Duration
	// Within is how many took no longer than each of DurationBounds, and longer than the one before.
	Within [len(DurationBounds) + 1]int64
}

func (d *Durations) time(took time.Duration) {
	took = max(took, 0).Truncate(time.Microsecond)
	i := 0
	for i < len(DurationBounds) && took > DurationBounds[i] {
		i++
	}
	d.Timed, d.Sum, d.Longest, d.Within[i] = 1, took, took, 1
}

// Mean returns the mean duration; 0 if there is none.
func (d *Durations) Mean() time.Duration {
	if d.Timed <= 0 {
		return 0
	}
	return d.Sum / time.Duration(d.Timed)
}

// Quantile returns about how long the fraction q of the calls took at most: within the two bounds between which it lies it is
// interpolated. 0 if there is no call.
func (d *Durations) Quantile(q float64) time.Duration {
	if d.Timed <= 0 {
		return 0
	}
	rank, below := q*float64(d.Timed), int64(0)
	for i, n := range d.Within {
		if n <= 0 || float64(below+n) < rank {
			below += max(n, 0)
			continue
		}
		from, to := time.Duration(0), d.Longest
		if i > 0 {
			from = DurationBounds[i-1]
		}
		if i < len(DurationBounds) {
			to = min(to, DurationBounds[i])
		}
		return min(from+time.Duration(float64(max(to-from, 0))*(rank-float64(below))/float64(n)), d.Longest)
	}
	return d.Longest
}

// String writes the counts for tests and logs.
func (c Counts) String() string {
	return fmt.Sprintf("%d calls, %d keys, %v, refused %v, %d replayed, %d questions, %d timed in %v, longest %v, %v", c.Calls, c.Keys, maps.Clone(c.Outcomes), c.Refused, c.Replayed, c.Questions, c.Timed, c.Sum, c.Longest, c.Within)
}

// DayOf returns the day of a time: midnight UTC.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
