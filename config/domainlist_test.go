package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A list of a million domains is held once: its text, and where in it each name is.
func TestLongListsAreNotCopied(t *testing.T) {
	const count = 1_000_000
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "parked-%07d.example.com\n", i)
	}
	list := write(t, "domains.txt", b.String())
	file := write(t, "s.yaml", twoServers+"parking: {only: ['@"+list+"']}\n")
	bytes := b.Len()
	b.Reset()

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := Load(file, Flags{})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Parking.Only); n != count || s.Parking.Only[count-1] != "parked-0999999.example.com" {
		t.Errorf("got %d domains, the last one %s", n, s.Parking.Only[n-1])
	}
	const header = 16 // a string: pointer and length
	most := uint64(bytes+count*header) * 11 / 10
	if used := after.TotalAlloc - before.TotalAlloc; used > most {
		t.Errorf("%d bytes allocated, expected at most %d", used, most)
	}
}

func TestSeveralListsComeTogether(t *testing.T) {
	a, b := write(t, "a.txt", "a.example\n"), write(t, "b.txt", "b.example\r\nc.example")
	s, err := Load(write(t, "s.yaml", twoServers+"parking: {only: ['@"+a+"', d.example, '@"+b+"']}\n"), Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.Parking.Only, " "), "d.example a.example b.example c.example"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkDomainList(b *testing.B) {
	text := strings.Repeat("parked-domain.example.com\n", 1_000_000)
	l := &loader{}
	for b.Loop() {
		if names := parseDomains(value{load: l}, "list", text); len(names) != 1_000_000 {
			b.Fatal(l.problems)
		}
	}
}
