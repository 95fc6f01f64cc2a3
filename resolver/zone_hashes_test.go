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
	for _, encloser := range []string{
		"\x07example\x03com\x00",
		"\x05empty\x07example\x03com\x00", // an empty non-terminal
	} {
		spot := s.spotOf(labelled([]byte(encloser), new([query.MaxLabels + 1]uint8)), 0)
		slot := s.hashes.slot(spot.id)
		if link := s.recall(z, &slot.own, spot.id); link != 0 {
			t.Fatalf("%q: remembered before it was asked for", encloser)
		}
		askDO(t, r, "no."+text(encloser), dns.TypeA, true)
		for name, link := range map[string]uint32{
			encloser:           s.recall(z, &slot.own, spot.id),
			"\x01*" + encloser: s.recall(z, &slot.wildcard, spot.id),
		} {
			if want, _ := s.findHash(z, []byte(name)); link != want {
				t.Errorf("%q: remembered %d, want %d", name, link, want)
			}
		}
		if link := s.recall(z, &slot.own, spot.id+1); link != 0 {
			t.Errorf("another name than %q: %d", encloser, link)
		}
		if link := s.recall(new(signedZone), &slot.own, spot.id); link != 0 {
			t.Errorf("another zone than that of %q: %d", encloser, link)
		}
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
