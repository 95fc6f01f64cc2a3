package certs

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/acme/autocert"
)

// orderCache is what the Manager of an order has for a cache. It knows no
// certificate, so that the Manager orders one for a renewal as it does the first
// time. The new one is the keeper's to keep: with the CA's name, and again and
// again while the store can't be written to. Answers to challenges go where
// every server looks for them.
//
// A Manager that has ordered sets a timer for the renewal, and there is no way
// to stop it. It first asks the cache for the certificate, and that is where it
// ends: see Get.
type orderCache struct {
	ctx     context.Context // of the order
	host    string
	answers *answers

	mu        sync.Mutex      // guards what follows
	questions int             // for the host's certificate
	up        map[string]bool // keys of the answers that are up
	over      bool
}

// Get implements autocert.Cache. The first one to ask for the certificate is
// the order. Everyone after is the renewal's timer, and does not come back:
// told anything else it would order on its own, or come again every half an hour
// and keep the Manager in memory for ever. Ending its goroutine here leaves
// no timer and nothing that refers to the Manager.
func (c *orderCache) Get(_ context.Context, key string) ([]byte, error) {
	if key == c.host {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.questions++; c.questions > 1 {
			runtime.Goexit()
		}
	}
	return nil, autocert.ErrCacheMiss
}

// Put implements autocert.Cache.
func (c *orderCache) Put(_ context.Context, key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case key == c.host:
		return nil
	case c.over:
		return errOver
	case !isAnswerKey(key):
		return fmt.Errorf("BUG: autocert stores %q", key)
	}
	c.up[key] = true
	return c.answers.put(c.ctx, key, value)
}

// Delete implements autocert.Cache. The Manager deletes answers in goroutines
// of their own, when another server may be answering for the same host already.
func (c *orderCache) Delete(_ context.Context, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up[key] {
		delete(c.up, key)
		c.answers.remove(key)
	}
	return nil
}

// close removes the answers that are still up and takes no more.
func (c *orderCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for key := range c.up {
		c.answers.remove(key)
	}
	clear(c.up)
}

// isAnswerKey tells whether key is one of those that certificateKey and tokenKey return.
func isAnswerKey(key string) bool {
	return strings.HasSuffix(key, certificateSuffix) || strings.HasSuffix(key, tokenSuffix)
}
