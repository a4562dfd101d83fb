package redistest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// StartCluster runs two nodes that have half of the slots each.
func StartCluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	var clients []*redis.Client
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for range 2 {
		server := Start(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t))
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

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
