package main

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// redisStore is a Redis of the bench's own, without persistence.
type redisStore struct {
	process process
	option  string // for the Caddyfile
}

func (r *room) startRedis() (s redisStore, err error) {
	addr, err := freeAddr()
	if err != nil {
		return s, err
	}
	s.process, err = start(r.ctx, r.dir, addr, nil, "redis-server", "--port", portOf(addr), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir)
	s.option = "store redis {\n\t\t\taddress " + addr + "\n\t\t}"
	return s, err
}

// used is what the Redis says that its data takes, in bytes.
func (s redisStore) used(r *room) (float64, error) {
	client := redis.NewClient(&redis.Options{Addr: s.process.addr})
	defer client.Close()
	info, err := client.InfoMap(r.ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	var bytes float64
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &bytes)
	return bytes, err
}
