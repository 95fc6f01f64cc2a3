package policy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"domainpark/query"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSipHashOfTheReferenceVectors: vectors_sip64 of the reference
// implementation, key 00 01 … 0f, message 00 01 … of that many bytes.
func TestSipHashOfTheReferenceVectors(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	for n, want := range map[int]string{
		0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593",
		15: "e545be4961ca29a1", 16: "db9bc2577fcc2a3f", 63: "724506eb4c328a95",
	} {
		var got [8]byte
		binary.LittleEndian.PutUint64(got[:], secretOf(key[:]).sum(words(n)))
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("message of %d bytes: %x, want %s", n, got, want)
		}
	}
}

// words packs the message 00 01 … of n bytes as SipHash reads it.
func words(n int) []uint64 {
	b := make([]byte, n/8*8+8)
	for i := range n {
		b[i] = byte(i)
	}
	b[len(b)-1] = byte(n)
	out := make([]uint64, len(b)/8)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return out
}

// TestRFC9018AppendixA: every example of the appendix, the cookie that comes
// in and the one that goes out.
func TestRFC9018AppendixA(t *testing.T) {
	const secretA, secretB, secretC = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, tc := range []struct {
		name    string
		secrets []string
		client  string
		option  string
		now     int64
		state   query.CookieState
		answer  string
	}{
		{"A.1 learning a new server cookie", []string{secretA}, "198.51.100.100",
			"2464c4abcf10c957", 1559731985, query.CookieClient, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		{"A.2 the same client learning a renewed cookie", []string{secretA}, "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385, query.CookieValid, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"},
		// The cookie of A.3 is almost two hours old when it is renewed,
		// which is longer than §4.3 says it lives.
		{"A.3 another client, too late", []string{secretA}, "203.0.113.203",
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, query.CookieInvalid, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"},
		{"A.3 another client, reserved bytes set", []string{secretA}, "203.0.113.203",
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985, query.CookieValid, ""},
		{"A.4 IPv6 and a secret that was rolled over", []string{secretC, secretB}, "2001:db8:220:1:59de:d0f4:8769:82b8",
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, query.CookieValid, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGuard(t, Config{Cookies: Cookies{Secrets: tc.secrets}})
			q := ask(tc.client, time.Unix(tc.now, 0))
			option := unhex(t, tc.option)
			if g.Cookie(q, option); q.Cookie != tc.state {
				t.Errorf("the cookie is %s, want %s", q.Cookie, tc.state)
			}
			got := hex.EncodeToString(g.AppendCookie(nil, q, option))
			if want := "000a0018" + tc.answer; tc.answer != "" && got != want {
				t.Errorf("answered with %s, want %s", got, want)
			}
		})
	}
}

func TestRFC7873LengthsOfACookie(t *testing.T) {
	g := newGuard(t, Config{})
	for n := range 65 {
		want := query.CookieMalformed
		switch {
		case n == 8:
			want = query.CookieClient
		case n >= 16 && n <= 40:
			want = query.CookieInvalid
		}
		q := ask("192.0.2.1", start)
		g.Cookie(q, make([]byte, n))
		answer := g.AppendCookie(nil, q, make([]byte, n))
		if q.Cookie != want || (len(answer) == CookieOptionBytes) != (want != query.CookieMalformed) {
			t.Errorf("%d bytes: %s, answered with %d bytes; want %s", n, q.Cookie, len(answer), want)
		}
	}
	q := ask("192.0.2.1", start)
	if g.Cookie(q, nil); q.Cookie != query.CookieNone || len(g.AppendCookie(nil, q, nil)) != 0 {
		t.Errorf("no option: %s", q.Cookie)
	}
}

// TestRFC9018LifeOfACookie: section 4.3.
func TestRFC9018LifeOfACookie(t *testing.T) {
	g := newGuard(t, Config{Cookies: Cookies{Derive: testSecret}})
	for _, midnight := range []bool{false, true} {
		made := start
		if midnight {
			made = start.Truncate(24 * time.Hour).Add(24*time.Hour - time.Second)
		}
		option := mint(g, "192.0.2.1", made)
		for _, tc := range []struct {
			age   time.Duration
			want  query.CookieState
			fresh bool
		}{
			{0, query.CookieValid, true},
			{29*time.Minute + 59*time.Second, query.CookieValid, true},
			{30 * time.Minute, query.CookieValid, false},
			{time.Hour, query.CookieValid, false},
			{time.Hour + time.Second, query.CookieInvalid, false},
			{24 * time.Hour, query.CookieInvalid, false},
			{-5 * time.Minute, query.CookieValid, true},
			{-5*time.Minute - time.Second, query.CookieInvalid, false},
		} {
			q := ask("192.0.2.1", made.Add(tc.age))
			g.Cookie(q, option)
			answer := g.AppendCookie(nil, q, option)[4:]
			if q.Cookie != tc.want || bytes.Equal(answer, option) != tc.fresh {
				t.Errorf("made %s, %s old: %s, given back %t; want %s, %t", made, tc.age, q.Cookie, bytes.Equal(answer, option), tc.want, tc.fresh)
			}
			if g.Cookie(q, answer); q.Cookie != query.CookieValid {
				t.Errorf("made %s, %s old: the answer's cookie is %s", made, tc.age, q.Cookie)
			}
		}
	}
}

// mint is a cookie option with a server cookie for addr.
func mint(g *Guard, addr string, at time.Time) []byte {
	return g.AppendCookie(nil, withCookie(ask(addr, at), query.CookieClient), []byte("client56"))[4:]
}

func TestCookieOutlivesTheWrapOfItsTimestamp(t *testing.T) {
	g := newGuard(t, Config{Cookies: Cookies{Derive: testSecret}})
	wrap := time.Unix(1<<32, 0)
	option := mint(g, "192.0.2.1", wrap.Add(-10*time.Minute))
	q := ask("192.0.2.1", wrap.Add(10*time.Minute))
	if g.Cookie(q, option); q.Cookie != query.CookieValid {
		t.Errorf("20 minutes later, in %d: %s", q.Received.Year(), q.Cookie)
	}
}

func TestCookieIsGoodForItsClientAlone(t *testing.T) {
	g := newGuard(t, Config{Cookies: Cookies{Derive: testSecret}})
	other := newGuard(t, Config{Cookies: Cookies{Derive: testSecret}})
	stranger := newGuard(t, Config{})
	option := mint(g, "2001:db8::1", start)
	for _, tc := range []struct {
		name string
		by   *Guard
		addr string
		want query.CookieState
	}{
		{"the server that made it", g, "2001:db8::1", query.CookieValid},
		{"a server with the same seed", other, "2001:db8::1", query.CookieValid},
		{"a server with another seed", stranger, "2001:db8::1", query.CookieInvalid},
		{"another address of the same /64", g, "2001:db8::2", query.CookieInvalid},
		{"another family", g, "192.0.2.1", query.CookieInvalid},
	} {
		q := ask(tc.addr, start)
		if tc.by.Cookie(q, option); q.Cookie != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, q.Cookie, tc.want)
		}
	}
	for i := range option {
		bad := bytes.Clone(option)
		bad[i] ^= 1
		q := ask("2001:db8::1", start)
		if g.Cookie(q, bad); q.Cookie != query.CookieInvalid {
			t.Errorf("byte %d changed: %s", i, q.Cookie)
		}
	}
}

func TestSecretsOfSettingsAreRolledOneServerAtATime(t *testing.T) {
	const old, fresh = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
	stages := [][]string{{old}, {old, fresh}, {fresh, old}, {fresh}} // RFC 9018 §5
	for i := range len(stages) - 1 {
		a := newGuard(t, Config{Cookies: Cookies{Secrets: stages[i]}})
		b := newGuard(t, Config{Cookies: Cookies{Secrets: stages[i+1]}})
		for _, pair := range [][2]*Guard{{a, b}, {b, a}} {
			q := ask("192.0.2.1", start)
			if pair[1].Cookie(q, mint(pair[0], "192.0.2.1", start)); q.Cookie != query.CookieValid {
				t.Errorf("between stages %d and %d: %s", i, i+1, q.Cookie)
			}
		}
	}
}

func TestRequireAsksUDPClientsForACookie(t *testing.T) {
	g := newGuard(t, Config{Cookies: Cookies{Require: true}, Trust: prefixes("198.51.100.0/24")})
	valid := mint(g, "192.0.2.1", start)
	wrong := mint(g, "192.0.2.2", start)
	for _, tc := range []struct {
		name      string
		addr      string
		transport query.Transport
		option    []byte
		want      Demand
	}{
		{"no cookie", "192.0.2.1", query.UDP, nil, DemandStream},
		{"client cookie", "192.0.2.1", query.UDP, valid[:8], DemandCookie},
		{"wrong cookie", "192.0.2.1", query.UDP, wrong, DemandCookie},
		{"valid cookie", "192.0.2.1", query.UDP, valid, NoDemand},
		{"malformed cookie", "192.0.2.1", query.UDP, valid[:9], NoDemand},
		{"no cookie over TCP", "192.0.2.1", query.TCP, nil, NoDemand},
		{"wrong cookie over TCP", "192.0.2.1", query.TCP, wrong, NoDemand},
		{"no cookie over DoQ", "192.0.2.1", query.DoQ, nil, NoDemand},
		{"trusted", "198.51.100.1", query.UDP, nil, NoDemand},
	} {
		q := ask(tc.addr, start)
		q.Transport = tc.transport
		g.Admit(q)
		if got := g.Cookie(q, tc.option); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	if n := counter(t, g, "cookie_demands_total{demand=badcookie}"); n != 2 {
		t.Errorf("badcookie counter is %d, want 2", n)
	}
}

// FuzzCookie: whatever the option holds, the answer is a cookie that will be
// valid, or there is none; and nothing is valid that was not made by us.
func FuzzCookie(f *testing.F) {
	f.Add([]byte(nil), []byte{192, 0, 2, 1}, int64(1559731985))
	f.Add(unhex(f, "2464c4abcf10c957"), []byte{198, 51, 100, 100}, int64(1559731985))
	g := newGuard(f, Config{Cookies: Cookies{Derive: testSecret}})
	f.Fuzz(func(t *testing.T, option, client []byte, at int64) {
		addr, ok := netip.AddrFromSlice(client)
		if !ok {
			t.Skip()
		}
		now := time.Unix(at%(1<<40), 0)
		q := &query.Query{Client: netip.AddrPortFrom(addr.Unmap(), 53), Received: now}
		g.Cookie(q, option)
		if q.Cookie == query.CookieValid {
			t.Fatalf("%x is valid for %s", option, addr)
		}
		answer := g.AppendCookie(nil, q, option)
		if has := q.Cookie == query.CookieClient || q.Cookie == query.CookieInvalid; has != (len(answer) == CookieOptionBytes) {
			t.Fatalf("%x is %s and answered with %x", option, q.Cookie, answer)
		}
		if len(answer) == 0 {
			return
		}
		if !bytes.Equal(answer[4:12], option[:8]) {
			t.Fatalf("%x is answered with another client's cookie: %x", option, answer)
		}
		if g.Cookie(q, answer[4:]); q.Cookie != query.CookieValid {
			t.Fatalf("the answer's cookie %x is %s", answer, q.Cookie)
		}
	})
}
