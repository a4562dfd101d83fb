package redistest

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// StartCluster runs two nodes that have half of the slots each.
func StartCluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	var clients []*redis.Client
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 2 {
		server := Start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(testport.Take(t)))
		client := redis.NewClient(&redis.Options{Addr: server.Address})
		defer client.Close()
		nodes, clients = append(nodes, server), append(clients, client)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(clients[0].ClusterAddSlotsRange(ctx, 0, 8191).Err())
	must(clients[1].ClusterAddSlotsRange(ctx, 8192, 16383).Err())
	host, port, err := net.SplitHostPort(nodes[1].Address)
	must(err)
	must(clients[0].Do(ctx, "CLUSTER", "MEET", host, port, nodes[1].args[len(nodes[1].args)-1]).Err())
	for _, client := range clients {
		for {
			shards, err := client.ClusterShards(ctx).Result()
			must(err)
			if info := client.ClusterInfo(ctx).Val(); len(shards) == 2 && len(info) > 16 && info[:16] == "cluster_state:ok" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nodes
}
