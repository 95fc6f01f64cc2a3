package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"domainpark/store"
)

// orderFrom prepares an order from ca, with a Source of its own.
func orderFrom(t *testing.T, ctx context.Context, ca *memoryCA, kinds ...string) (*Source, *order) {
	t.Helper()
	s := newSource(t, fakeConfig(openStore(t, t.TempDir()), &journal{}, testHost))
	key, err := s.accountKey(ctx)
	must(t, err)
	return s, s.newOrder(ctx, ca, key, &settings{directory: memoryURL + "/directory", kinds: kinds}, testHost)
}

// both judges every challenge alike.
func both(status, detail string) func(string) (string, string) {
	return func(string) (string, string) { return status, detail }
}

// questions is how often the Manager asked its cache for the certificate.
func questions(o *order) int {
	o.cache.mu.Lock()
	defer o.cache.mu.Unlock()
	return o.cache.questions
}

// wantNoAnswers wants that no answer to a challenge is left behind.
func wantNoAnswers(t *testing.T, s *Source) {
	t.Helper()
	for _, key := range []string{certificateKey(testHost), tokenKey("token0"), tokenKey("token1")} {
		if s.answers.get(t.Context(), key) != nil {
			t.Errorf("the answer %q is still there", key)
		}
	}
}

// TestManagerThatHasOrderedAsksNothingMore waits for its renewal's timer, which
// goes off at the certificate's end and would go off every half an hour from
// then on.
func TestManagerThatHasOrderedAsksNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newMemoryCA(t, kindHTTP, kindTLSALPN)
		s, o := orderFrom(t, t.Context(), ca, kindTLSALPN)
		i, err := o.run()
		must(t, err)
		leaf := i.cert.Leaf
		if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() || leaf.VerifyHostname(testHost) != nil {
			t.Errorf("got a certificate for %q with a key of type %T, want %s with ECDSA on P-256", leaf.DNSNames, leaf.PublicKey, testHost)
		}
		if i.directory != memoryURL+"/directory" {
			t.Errorf("directory: got %q", i.directory)
		}
		synctest.Wait()
		requests := ca.asked()
		time.Sleep(life - time.Hour)
		if got := questions(o); got != 1 {
			t.Errorf("got %d questions for the certificate before its end, want 1", got)
		}
		time.Sleep(365 * day)
		if got := questions(o); got != 2 {
			t.Errorf("got %d questions for the certificate in the year after its end, want 2: that of the order and one of the timer", got)
		}
		if got := ca.asked(); got != requests {
			t.Errorf("got %d requests after the order was over: %q", got-requests, ca.requests[requests:])
		}
		wantNoAnswers(t, s)
		if _, err := s.store.Get(t.Context(), testHost); err != store.ErrNotFound {
			t.Errorf("store: got error %v, want nothing: the keeper keeps the certificate", err)
		}
	})
}

// TestOrderCutShortEndsAtOnce has the CA validate for ever and ask for an hour's patience.
func TestOrderCutShortEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newMemoryCA(t, kindHTTP, kindTLSALPN)
		ca.verdict = both("pending", "")
		ctx, cancel := context.WithCancel(t.Context())
		s, o := orderFrom(t, ctx, ca, kindTLSALPN)
		time.AfterFunc(time.Minute, func() {
			if s.answers.certificate(t.Context(), testHost) == nil {
				t.Error("no answer to the challenge is up")
			}
			cancel()
		})
		began := time.Now()
		if _, err := o.run(); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want one that says cancelled", err)
		}
		if got := time.Since(began); got != time.Minute {
			t.Errorf("the order ended after %s, want a minute", got)
		}
		wantNoAnswers(t, s)
		requests := ca.asked()
		time.Sleep(time.Hour)
		if got := ca.asked(); got != requests {
			t.Errorf("got %d requests after the order was over: %q", got-requests, ca.requests[requests:])
		}
		wantNoAnswers(t, s)
	})
}

// TestCAThatNeverDecidesIsGivenUp has the same CA and nobody who cuts it short.
func TestCAThatNeverDecidesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newMemoryCA(t, kindHTTP, kindTLSALPN)
		ca.verdict = both("pending", "")
		_, o := orderFrom(t, t.Context(), ca, kindTLSALPN)
		began := time.Now()
		if _, err := o.run(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want one that says the time is up", err)
		}
		if got := time.Since(began); got > 5*time.Minute {
			t.Errorf("the order ended after %s, want 5 minutes at most", got)
		}
		synctest.Wait()
	})
}

// TestChallengesFollowWhatIsListenedOn has a CA that offers three.
func TestChallengesFollowWhatIsListenedOn(t *testing.T) {
	for name, test := range map[string]struct {
		kinds   []string
		verdict string
		want    []string
	}{
		"HTTP alone":                  {[]string{kindHTTP}, "valid", []string{kindHTTP}},
		"TLS alone":                   {[]string{kindTLSALPN}, "valid", []string{kindTLSALPN}},
		"both":                        {[]string{kindTLSALPN, kindHTTP}, "valid", []string{kindTLSALPN}},
		"HTTP alone, which fails":     {[]string{kindHTTP}, "invalid", []string{kindHTTP}},
		"TLS alone, which fails":      {[]string{kindTLSALPN}, "invalid", []string{kindTLSALPN}},
		"both, and both of them fail": {[]string{kindTLSALPN, kindHTTP}, "invalid", []string{kindTLSALPN, kindHTTP}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newMemoryCA(t, "dns-01", kindHTTP, kindTLSALPN)
				ca.verdict = both(test.verdict, map[string]string{"invalid": "nobody there"}[test.verdict])
				s, o := orderFrom(t, t.Context(), ca, test.kinds...)
				_, err := o.run()
				if !slices.Equal(ca.accepted, test.want) || len(ca.orders) != len(test.want) {
					t.Errorf("got %d orders with the challenges %q, want one for each of %q", len(ca.orders), ca.accepted, test.want)
				}
				if valid := test.verdict == "valid"; valid != (err == nil) {
					t.Errorf("got error %v", err)
				} else if !valid {
					wantError(t, err, append(test.want, "nobody there")...)
					if !refused(err) {
						t.Errorf("error %v does not count as a refusal", err)
					}
				}
				wantNoAnswers(t, s)
			})
		})
	}
}

// TestReasonsThatTheManagerKeepsToItselfAreTold has the CA fail the order in the
// ways that end in "no viable challenge type found".
func TestReasonsThatTheManagerKeepsToItselfAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		offers    []string
		verdict   string
		refuse    map[string]string
		want      []string
		withdrawn int
	}{
		"no challenge in common": {offers: []string{"dns-01", "dns-account-01"},
			want: []string{kindTLSALPN, kindHTTP, "only dns-01, dns-account-01"}, withdrawn: 1},
		"one challenge in common, which fails": {offers: []string{"dns-01", kindHTTP}, verdict: "invalid",
			want: []string{kindHTTP, "nobody there"}, withdrawn: 1},
		"challenges are not accepted": {offers: []string{kindHTTP, kindTLSALPN},
			refuse: map[string]string{"/challenge/0/tls-alpn-01": "the first is closed", "/challenge/1/http-01": "the second is closed"},
			want:   []string{"403", "the first is closed", "the second is closed"}, withdrawn: 2},
		"the account is closed": {refuse: map[string]string{"/account": "account deactivated"}, want: []string{"403", "account deactivated"}},
		"the order is refused":  {refuse: map[string]string{"/order": "forbidden by policy"}, want: []string{"403", "forbidden by policy"}},
		"the certificate is refused": {offers: []string{kindTLSALPN}, verdict: "valid",
			refuse: map[string]string{"/finalize/0": "CAA record for ns1 prevents issuance"}, want: []string{"403", "prevents issuance"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newMemoryCA(t, test.offers...)
				ca.refuse = test.refuse
				ca.verdict = both(test.verdict, "nobody there")
				_, o := orderFrom(t, t.Context(), ca, kindTLSALPN, kindHTTP)
				_, err := o.run()
				wantError(t, err, append(test.want, "CA https://ca.example/directory: ")...)
				if !refused(err) {
					t.Errorf("error %v does not count as a refusal", err)
				}
				for _, want := range test.want {
					if n := strings.Count(err.Error(), want); n > 1 && strings.Contains(want, " ") {
						t.Errorf("error %q says %q %d times", err, want, n)
					}
				}
				synctest.Wait()
				if ca.withdrawn < test.withdrawn {
					t.Errorf("got %d authorizations withdrawn, want %d", ca.withdrawn, test.withdrawn)
				}
			})
		})
	}
}

func TestCADoesNotWriteOurLog(t *testing.T) {
	hostile := "first\nlevel=INFO msg=\"all is well\"\x1b[2J\u202e\xff" + strings.Repeat("x", 100_000)
	for name, set := range map[string]func(ca *memoryCA){
		"in a challenge":          func(ca *memoryCA) { ca.verdict = both("invalid", hostile) },
		"in a refusal":            func(ca *memoryCA) { ca.refuse = map[string]string{"/order": hostile} },
		"in a refusal, at length": func(ca *memoryCA) { ca.refuse = map[string]string{"/order": strings.Repeat("long ", maxAnswerBytes)} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newMemoryCA(t, kindTLSALPN)
				set(ca)
				_, o := orderFrom(t, t.Context(), ca, kindTLSALPN)
				_, err := o.run()
				if err == nil || len(err.Error()) > maxReasonBytes+100 {
					t.Fatalf("got error %.2000q", err)
				}
				for _, r := range err.Error() {
					if !unicode.IsPrint(r) {
						t.Errorf("error %q has %U in it", err, r)
					}
				}
			})
		})
	}
}

// TestHostsThatOrderAtOnceShareAnAccount has a store without an account.
func TestHostsThatOrderAtOnceShareAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newMemoryCA(t, kindTLSALPN)
		s := newSource(t, fakeConfig(openStore(t, t.TempDir()), &journal{}, testHost, otherHost))
		set := &settings{directory: memoryURL + "/directory", kinds: []string{kindTLSALPN}}
		var ordering sync.WaitGroup
		for _, host := range []string{testHost, otherHost} {
			ordering.Go(func() {
				key, err := s.accountKey(t.Context())
				if err == nil {
					_, err = s.newOrder(t.Context(), ca, key, set, host).run()
				}
				if err != nil {
					t.Errorf("%s: %v", host, err)
				}
			})
		}
		ordering.Wait()
		if len(ca.accounts) != 1 {
			t.Errorf("got %d accounts, want 1", len(ca.accounts))
		}
	})
}

// TestChallengeIsAnsweredThoughTheStoreIsReadOnly asks while the CA validates.
func TestChallengeIsAnsweredThoughTheStoreIsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newMemoryCA(t, kindTLSALPN)
		st := &flakyStore{Store: openStore(t, t.TempDir())}
		s := newSource(t, fakeConfig(st, &journal{}, testHost))
		key, err := s.accountKey(t.Context())
		must(t, err)
		st.set(errors.New("read-only file system"))
		asked := false
		ca.verdict = func(string) (string, string) {
			cert := s.answers.certificate(t.Context(), testHost)
			asked = cert != nil && slices.ContainsFunc(cert.Leaf.Extensions, isACMEIdentifier)
			return "valid", ""
		}
		_, err = s.newOrder(t.Context(), ca, key, &settings{directory: memoryURL + "/directory", kinds: []string{kindTLSALPN}}, testHost).run()
		must(t, err)
		if !asked {
			t.Error("the CA found no certificate with the answer")
		}
	})
}

// isACMEIdentifier tells of the extension that RFC 8737 §3 defines.
func isACMEIdentifier(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.31" }
