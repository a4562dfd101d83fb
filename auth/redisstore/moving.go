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

// run runs a script, together with others of the same moment. It is run again by itself where Redis does not know it yet, where the
// client would have tried again had the script been alone, and while a slot moves under it. All of that has the time of one question.
func (c *conn) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return c.runCommand(ctx, script, keys, redis.NewCmd(ctx, append(words(script, keys, len(args)), args...)...))
}

// runTexts is run for a script that is only given texts.
func (c *conn) runTexts(ctx context.Context, script *redis.Script, keys, args []string) *redis.Cmd {
	all := words(script, keys, len(args))
	for i := range args {
		all = append(all, &args[i])
	}
	return c.runCommand(ctx, script, keys, redis.NewCmd(ctx, all...))
}

func (c *conn) runCommand(ctx context.Context, script *redis.Script, keys []string, cmd *redis.Cmd) *redis.Cmd {
	if c.down.Load() {
		return failed(ctx, errDown)
	}
	began := time.Now()
	ends := began.Add(c.timeout)
	together, err := c.group.ask(ctx, cmd, ends)
	if err != nil {
		return failed(ctx, err)
	}
	if err := cmd.Err(); err == nil || !(redis.HasErrorPrefix(err, "NOSCRIPT") || apart(err) || together && passing(err)) {
		return cmd
	}
	args := cmd.Args()[fixedWords+len(keys):]
	asked, cancel := context.WithDeadline(ctx, ends)
	defer cancel()
	for {
		if apart(cmd.Err()) {
			if time.Since(began) > c.movingTime {
				return cmd
			}
			select {
			case <-asked.Done():
				return cmd
			case <-time.After(movingPause):
			}
		}
		if cmd = script.Run(asked, c.client, keys, args...); cmd.Err() == nil || !apart(cmd.Err()) {
			return cmd
		}
	}
}

// failed returns a command that was not asked, or whose answer nobody waited for.
func failed(ctx context.Context, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(err)
	return cmd
}

// fixedWords are in front of the keys: the command, the script and how many keys there are.
const fixedWords = 3

// words begins the command that runs a script which Redis knows, with room for its arguments. A pointer to a text is written as the
// text, and takes no memory of its own.
func words(script *redis.Script, keys []string, args int) []any {
	all := make([]any, fixedWords, fixedWords+len(keys)+args)
	all[0], all[1], all[2] = "evalsha", script.Hash(), len(keys)
	for i := range keys {
		all = append(all, &keys[i])
	}
	return all
}

// apart reports whether a script met a key which is not where it runs.
func apart(err error) bool { return strings.Contains(err.Error(), "non local key") }

// passing reports whether Redis may answer otherwise in a moment, or elsewhere. The client tries those again, if the command is alone.
func passing(err error) bool {
	return moving(err) || redis.IsLoadingError(err) || redis.IsReadOnlyError(err) || redis.IsClusterDownError(err) || redis.IsMasterDownError(err) || redis.IsNoReplicasError(err) || redis.IsMaxClientsError(err)
}
