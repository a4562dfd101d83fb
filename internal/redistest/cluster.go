package redistest

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caddy-erpsync/caddy-erpsync/internal/testport"
)

// slots is how many a Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of a test's own, on loopback.
type Cluster struct {
	// Masters have the same share of the slots each.
	Masters []*Server
	// Replicas follow the master at the same place.
	Replicas []*Server

	t       testing.TB
	clients map[*Server]*redis.Client
	moved   map[int64]int // slots that have moved, to the master at this place
}

// StartCluster runs a Cluster of some masters, each with a replica or without, and waits until every node knows every other.
func StartCluster(t testing.TB, masters int, replicas bool, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, clients: make(map[*Server]*redis.Client), moved: make(map[int64]int)}
	start := func() *Server {
		server := Start(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", strconv.Itoa(testport.Take(t))}, args...)...)
		client := redis.NewClient(&redis.Options{Addr: server.Address})
		t.Cleanup(func() { _ = client.Close() })
		c.clients[server] = client
		return server
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range masters {
		server := start()
		c.Masters = append(c.Masters, server)
		c.must(c.clients[server].ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err())
		if replicas {
			c.Replicas = append(c.Replicas, start())
		}
	}
	nodes := append(append([]*Server(nil), c.Masters...), c.Replicas...)
	for _, node := range nodes[1:] {
		host, port, err := net.SplitHostPort(node.Address)
		c.must(err)
		c.must(c.clients[nodes[0]].Do(ctx, "CLUSTER", "MEET", host, port, argument(node, "--cluster-port")).Err())
	}
	c.wait(nodes, func(client *redis.Client) bool {
		return strings.Count(client.ClusterNodes(ctx).Val(), " connected") == len(nodes) && strings.HasPrefix(client.ClusterInfo(ctx).Val(), "cluster_state:ok")
	})
	for i, replica := range c.Replicas {
		c.must(c.clients[replica].ClusterReplicate(ctx, c.id(ctx, c.Masters[i])).Err())
	}
	c.wait(c.Replicas, func(client *redis.Client) bool {
		return strings.Contains(client.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	// Every node has to know who follows whom, or no replica is chosen.
	c.wait(nodes, func(client *redis.Client) bool {
		return strings.Count(client.ClusterNodes(ctx).Val(), "slave ") == len(c.Replicas)
	})
	return c
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *Cluster) wait(nodes []*Server, until func(*redis.Client) bool) {
	c.t.Helper()
	for _, node := range nodes {
		for deadline := time.Now().Add(time.Minute); !until(c.clients[node]); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				c.t.Fatalf("the Cluster does not form: %s", c.clients[node].ClusterNodes(context.Background()))
			}
		}
	}
}

func argument(server *Server, name string) string {
	for i, arg := range server.args {
		if arg == name {
			return server.args[i+1]
		}
	}
	return ""
}

func (c *Cluster) id(ctx context.Context, node *Server) string {
	c.t.Helper()
	id, err := c.clients[node].Do(ctx, "CLUSTER", "MYID").Text()
	c.must(err)
	return id
}

// Addresses returns those of the masters.
func (c *Cluster) Addresses() (all []string) {
	for _, node := range c.Masters {
		all = append(all, node.Address)
	}
	return all
}

// Client returns a client of one node, which does not follow redirections.
func (c *Cluster) Client(node *Server) *redis.Client { return c.clients[node] }

// Holder returns the place of the master that has the key's slot.
func (c *Cluster) Holder(key string) int {
	c.t.Helper()
	slot := c.slot(key)
	if to, moved := c.moved[slot]; moved {
		return to
	}
	return int(slot) * len(c.Masters) / slots
}

func (c *Cluster) slot(key string) int64 {
	c.t.Helper()
	slot, err := c.clients[c.Masters[0]].ClusterKeySlot(context.Background(), key).Result()
	c.must(err)
	return slot
}

// Move is a slot's way from one master to another, in steps, so that a test can call between them.
type Move struct {
	c        *Cluster
	slot     int64
	from, to *Server
	place    int // of to
}

// BeginMove has the slot of a key begin to move to another master.
func (c *Cluster) BeginMove(key string) *Move {
	c.t.Helper()
	from := c.Holder(key)
	place := (from + 1) % len(c.Masters)
	m := &Move{c: c, slot: c.slot(key), from: c.Masters[from], to: c.Masters[place], place: place}
	ctx := context.Background()
	c.must(c.clients[m.to].Do(ctx, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", c.id(ctx, m.from)).Err())
	c.must(c.clients[m.from].Do(ctx, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", c.id(ctx, m.to)).Err())
	return m
}

// Keys moves some keys and returns how many there were; zero: none is left.
func (m *Move) Keys(most int, only ...string) int {
	m.c.t.Helper()
	ctx := context.Background()
	keys := only
	if len(keys) == 0 {
		var err error
		keys, err = m.c.clients[m.from].ClusterGetKeysInSlot(ctx, int(m.slot), most).Result()
		m.c.must(err)
	}
	if len(keys) == 0 {
		return 0
	}
	host, port, err := net.SplitHostPort(m.to.Address)
	m.c.must(err)
	args := []any{"MIGRATE", host, port, "", 0, 60_000, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	m.c.must(m.c.clients[m.from].Do(ctx, args...).Err())
	return len(keys)
}

// End moves what is left and gives the slot to the other master.
func (m *Move) End() {
	m.c.t.Helper()
	for m.Keys(100) > 0 { //nolint:revive // each moves some
	}
	ctx := context.Background()
	id := m.c.id(ctx, m.to)
	for _, node := range append([]*Server{m.to, m.from}, m.c.Masters...) {
		m.c.must(m.c.clients[node].Do(ctx, "CLUSTER", "SETSLOT", m.slot, "NODE", id).Err())
	}
	m.c.moved[m.slot] = m.place
}

// KillMaster ends the master that has a key once its replica has what it has.
func (c *Cluster) KillMaster(key string) {
	c.t.Helper()
	master := c.Masters[c.Holder(key)]
	if n, err := replicated(context.Background(), c.clients[master], key+"replicated", time.Minute); n != 1 || err != nil {
		c.t.Fatalf("the replica does not follow: %d %v", n, err)
	}
	master.Kill()
}

// replicated returns how many replicas have everything that a master has, once one has or the time is over. WAIT waits for what
// its own connection wrote, so that a key is written first.
func replicated(ctx context.Context, master *redis.Client, key string, timeout time.Duration) (replicas int64, err error) {
	conn := master.Conn()
	defer conn.Close()
	if err := conn.Set(ctx, key, "", time.Minute).Err(); err != nil {
		return 0, err
	}
	return conn.Wait(ctx, 1, timeout).Result()
}
