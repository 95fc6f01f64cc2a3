package listeners

import (
	"log/slog"
	"net/netip"
	"testing"

	"domainpark/query"
)

func TestAnswerable(t *testing.T) {
	for client, want := range map[string]bool{
		"192.0.2.1:53": true, "[2001:db8::1]:1": true, "[::1]:65535": true, "127.0.0.1:53": true, "[fe80::1%7]:53": true,
		"192.0.2.1:0": false, "[2001:db8::1]:0": false, "0.0.0.0:53": false, "[::]:53": false, "0.0.0.0:0": false,
	} {
		if got := answerable(netip.MustParseAddrPort(client)); got != want {
			t.Errorf("%s: %v", client, got)
		}
	}
}

// The portable loop sees to it itself, as the socket may take both families.
func TestPortableUDPAnswersNobodyAtNoAddress(t *testing.T) {
	var asked []netip.AddrPort
	u := portableUDP{log: slog.New(slog.DiscardHandler), resolver: resolverFunc(func(dst []byte, q *query.Query) []byte {
		asked = append(asked, q.Client)
		return nil
	})}
	for _, client := range []string{"[::]:53", "0.0.0.0:53", "[::ffff:0.0.0.0]:53", "[::1]:0", "[::1]:53"} {
		q := query.Query{Message: testMessage(1, 40)}
		u.answer(&q, nil, netip.MustParseAddrPort(client), nil)
	}
	if len(asked) != 1 || asked[0] != netip.MustParseAddrPort("[::1]:53") {
		t.Errorf("resolved were queries of %v, want of [::1]:53 alone", asked)
	}
}
