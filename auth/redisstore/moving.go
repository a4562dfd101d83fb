package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// While a slot of a Cluster moves, some of our keys are at one node and some at the other. The client follows MOVED and ASK, and asks
// again on TRYAGAIN. A script that meets a key which is not where it runs is stopped by the node with an error; it is run again
// here, since every script can run twice. What it read is never taken for absent: the node refuses to look.
const (
	// movingPart is how much of a question's time a script is run again in, so that a call with several questions does not wait
	// for all of them through a long move.
	movingPart = 4
	// movingPause lies between two runs.
	movingPause = 10 * time.Millisecond
)

// moving reports whether a node has stopped a command because the slot of its keys is on its way.
func moving(err error) bool {
	return redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "ASK") || redis.HasErrorPrefix(err, "MOVED") || strings.Contains(err.Error(), "non local key")
}

// run runs a script, again while a slot moves under it.
func (c *conn) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	for ends := time.Now().Add(c.movingTime); ; {
		cmd := script.Run(ctx, c.client, keys, args...)
		if cmd.Err() == nil || !strings.Contains(cmd.Err().Error(), "non local key") || time.Now().After(ends) {
			return cmd
		}
		select {
		case <-ctx.Done():
			return cmd
		case <-time.After(movingPause):
		}
	}
}
