package audit

import (
	"context"
	"sync"
)

// memo finds things once for all who ask for them: the domains of a list have
// parent zones and name servers in common. Its zero value is ready, and it may be
// used by many goroutines.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	found map[K]*finding[V]
}

// finding is what was found, or is being looked for. ready is closed when value
// is set.
type finding[V any] struct {
	ready chan struct{}
	value V
}

// get returns what find says of key. While one call of find is under way the
// others wait for it, and get an error when their ctx ends first. What find does
// not want kept is looked for again.
func (m *memo[K, V]) get(ctx context.Context, key K, find func() (value V, keep bool)) (V, error) {
	f, known := m.entry(key)
	if known {
		select {
		case <-f.ready:
			return f.value, nil
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
	value, keep := find()
	f.value = value
	close(f.ready)
	if !keep {
		m.mu.Lock()
		delete(m.found, key)
		m.mu.Unlock()
	}
	return value, nil
}

// entry returns what there is for key, made now unless it was known.
func (m *memo[K, V]) entry(key K) (f *finding[V], known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, known = m.found[key]; known {
		return f, true
	}
	if m.found == nil {
		m.found = make(map[K]*finding[V])
	}
	f = &finding[V]{ready: make(chan struct{})}
	m.found[key] = f
	return f, false
}
