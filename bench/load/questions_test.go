package load

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"
)

func TestQuestionsAreTheSameInEveryRun(t *testing.T) {
	const domains, n = 100, 1000
	names, queries, err := Questions(domains, n, 1232)
	if err != nil || len(names) != domains || len(queries) != n {
		t.Fatalf("%d domains, %d queries, %v", len(names), len(queries), err)
	}
	if _, again, _ := Questions(domains, n, 1232); !bytes.Equal(bytes.Join(queries, nil), bytes.Join(again, nil)) {
		t.Error("the second time they are others")
	}
	_, plain, _ := Questions(domains, n, 0)
	for i, query := range queries {
		var m dns.Msg
		if err := m.Unpack(query); err != nil || m.IsEdns0() == nil || m.Id != 0 {
			t.Fatalf("query %d: %v, %v", i, &m, err)
		}
		if len(plain[i]) != len(query)-11 { // an OPT record's bytes, RFC 6891 §6.1.2
			t.Fatalf("query %d without EDNS is another one", i)
		}
	}
}

func TestMixIsWhole(t *testing.T) {
	share := 0
	for _, a := range asked {
		share += a.share
	}
	if share != 100 {
		t.Errorf("the mix is %d %%", share)
	}
}
