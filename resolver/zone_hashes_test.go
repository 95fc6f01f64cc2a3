package resolver

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

// What is remembered of hashes changes no answer: each question is answered by a server
// that was asked many others before, by several at once, as by one that is new.
func TestRememberedHashesChangeNoAnswer(t *testing.T) {
	for _, zone := range []string{"signed-nsec3", "signed-optout"} {
		text := signedText(t, zone)
		fresh := func() *Resolver {
			r, err := loadSigned(text, 0)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		var messages, want [][]byte
		for _, q := range signedQuestions {
			for _, below := range []string{"", "x.", "y.x.", "*."} {
				name := strings.TrimPrefix(below+q.name+".example.com.", ".")
				message, err := new(dns.Msg).SetQuestion(name, dns.StringToType[q.qtype]).SetEdns0(1232, true).Pack()
				if err != nil {
					continue // "*..example.com."
				}
				messages = append(messages, message)
				want = append(want, fresh().Resolve(nil, &query.Query{Message: message, Transport: query.TCP}))
			}
		}
		r := fresh()
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				random := rand.New(rand.NewPCG(5155, uint64(worker)))
				for range 20 * len(messages) {
					i := random.IntN(len(messages))
					if got := r.Resolve(nil, &query.Query{Message: messages[i], Transport: query.TCP}); !bytes.Equal(got, want[i]) {
						t.Errorf("%s: %x: got\n%x\nwant\n%x", zone, messages[i], got, want[i])
						return
					}
				}
			})
		}
		workers.Wait()
	}
}

// A name and its wildcard are remembered by the first denial that needs them, and
// what another zone has at the same place is not taken for theirs.
func TestHashesAreRememberedByZone(t *testing.T) {
	r, err := loadSigned(signedText(t, "signed-nsec3"), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := r.current.Load()
	z := &s.signed[0]
	askDO(t, r, "no.example.com.", dns.TypeA, true)
	node := s.spotOf(labelled([]byte("\x07example\x03com\x00"), new([query.MaxLabels + 1]uint8)), 0).node
	slot := s.hashes.slot(node)
	for _, c := range []struct {
		name string
		link uint32
	}{
		{"\x07example\x03com\x00", s.recall(z, &slot.own, node)},
		{"\x01*\x07example\x03com\x00", s.recall(z, &slot.wildcard, node)},
	} {
		if want, _ := s.findHash(z, []byte(c.name)); c.link != want {
			t.Errorf("%q: remembered %d, want %d", c.name, c.link, want)
		}
	}
	if link := s.recall(z, &slot.own, node+1); link != 0 {
		t.Errorf("another name: %d", link)
	}
	if link := s.recall(new(signedZone), &slot.own, node); link != 0 {
		t.Errorf("another zone: %d", link)
	}
}

// BenchmarkDenial is what random names cost in zones with NSEC and NSEC3, of which the
// last has 2 iterations.
func BenchmarkDenial(b *testing.B) {
	for _, zone := range signedZones {
		b.Run(zone, func(b *testing.B) {
			r, err := loadSigned(signedText(b, zone), 0)
			if err != nil {
				b.Fatal(err)
			}
			benchmarkDenial(b, r)
		})
	}
}

// benchmarkDenial asks for another name below example.com each time.
func benchmarkDenial(b *testing.B, r *Resolver) {
	message, err := new(dns.Msg).SetQuestion("aaaaaaaa.example.com.", dns.TypeA).SetEdns0(1232, true).Pack()
	if err != nil {
		b.Fatal(err)
	}
	q := &query.Query{Message: message, Transport: query.TCP}
	buf := make([]byte, 0, 4096)
	random := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		n := random.Uint32()
		for i := range 8 {
			message[headerBytes+1+i] = 'a' + byte(n>>(4*i)&15)
		}
		r.Resolve(buf, q)
	}
}
