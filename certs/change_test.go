package certs

import (
	"crypto/tls"
	"os"
	"sync"
	"testing"
	"time"
)

// TestThousandConnectionsThroughChangesSeeNoFailure has clients connect while
// files are replaced, settings are reloaded and the state is read.
func TestThousandConnectionsThroughChangesSeeNoFailure(t *testing.T) {
	const clients, connections = 4, 250
	dir, next := t.TempDir(), t.TempDir()
	m := template{names: []string{testHost}}
	files, _ := m.write(t, dir, "a")
	cfg := Config{Files: []Pair{files}, Log: (&journal{}).logger()}
	s := newSource(t, cfg)
	listener := s.TLS().Clone()

	done := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			fresh, _ := m.write(t, next, "a")
			os.Rename(fresh.Certificate, files.Certificate)
			s.lookAtFiles(time.Now()) // the pair does not match
			os.Rename(fresh.Key, files.Key)
			s.lookAtFiles(time.Now())
			s.rollTickets(time.Now())
			s.Status()
			if err := s.Reload(cfg); err != nil {
				t.Errorf("Reload: %v", err)
			}
		}
	})
	var connecting sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range clients {
		connecting.Go(func() {
			for range connections {
				state, err := shake(t, listener, &tls.Config{ServerName: testHost, InsecureSkipVerify: true})
				if err != nil {
					t.Errorf("handshake: %v", err)
					return
				}
				mu.Lock()
				seen[state.PeerCertificates[0].SerialNumber.String()] = true
				mu.Unlock()
			}
		})
	}
	connecting.Wait()
	close(done)
	changes.Wait()
	if len(seen) < 2 {
		t.Errorf("clients saw %d certificates: nothing changed under them", len(seen))
	}
}

func TestChoosingACertificateCostsNoMemory(t *testing.T) {
	dir := t.TempDir()
	files, _ := template{names: []string{testHost, "*.wild.example"}}.write(t, dir, "a")
	s := newSource(t, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
	for _, name := range []string{testHost, "unknown.example", ""} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"dot"}}
		if n := testing.AllocsPerRun(100, func() {
			s.certificate(hello)
		}); n != 0 {
			t.Errorf("name %q: %v allocations, want none", name, n)
		}
	}
}

// BenchmarkLookAtFiles is what the watcher costs each second for one pair.
func BenchmarkLookAtFiles(b *testing.B) {
	files, _ := template{names: []string{testHost}}.write(b, b.TempDir(), "a")
	s := newSource(b, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
	for b.Loop() {
		s.lookAtFiles(time.Now())
	}
}
