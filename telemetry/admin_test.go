package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// fault is a source of one gauge that works and one name that it does not have.
var fault = Source{
	Families: []Family{{Name: "works", Type: Level, Help: "It works.", Labels: []string{"file"}}},
	Read: func(s *Scrape) {
		s.Add("works", 7, "a\xffb")
		s.Add("missing", 1)
	},
}

// serveAdmin serves until the test ends, or stop is called.
func serveAdmin(t *testing.T, cfg AdminConfig) (url string, stop func()) {
	t.Helper()
	cfg.Addresses, cfg.Log = []string{"127.0.0.1:0"}, slog.New(slog.DiscardHandler)
	a, err := BindAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Serve(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return "http://" + a.Bound()[0].String(), stop
}

func request(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAMetricThatIsWrongHidesNoOther(t *testing.T) {
	url, _ := serveAdmin(t, AdminConfig{Sources: []Source{fault}})
	status, body := request(t, http.MethodGet, url+"/metrics")
	if status != http.StatusOK || !strings.Contains(body, "domainpark_works{file=\"a\ufffdb\"} 7\n") {
		t.Errorf("%d\n%s", status, body)
	}
	_, body = request(t, http.MethodGet, url+"/metrics")
	if !strings.Contains(body, `promhttp_metric_handler_errors_total{cause="gathering"} 1`) {
		t.Error("the fault is not counted")
	}
}

func TestTwoSourcesOfOneName(t *testing.T) {
	_, err := BindAdmin(AdminConfig{Sources: []Source{fault, fault}})
	if err == nil || !strings.Contains(err.Error(), "domainpark_works") {
		t.Error(err)
	}
}

func TestAdminIsReadOnly(t *testing.T) {
	var unready error
	url, _ := serveAdmin(t, AdminConfig{Ready: func() error { return unready }, Version: "1"})
	unready = errors.New("not yet")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/health", 200},
		{http.MethodHead, "/health", 200},
		{http.MethodPost, "/health", 405},
		{http.MethodGet, "/ready", 503},
		{http.MethodDelete, "/metrics", 405},
		{http.MethodGet, "/", 404},
		{http.MethodGet, "/debug/pprof/", 404},
	} {
		if status, body := request(t, c.method, url+c.path); status != c.want {
			t.Errorf("%s %s: %d %q, want %d", c.method, c.path, status, body, c.want)
		}
	}
}

// Serve does not wait for a client that sends half a request.
func TestAdminStopsBesideASlowClient(t *testing.T) {
	url, stop := serveAdmin(t, AdminConfig{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /hea")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the first request is answered
		t.Fatal(err)
	}
	stop()
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("it still listens")
	}
}

// Each wildcard is one family, as it is for queries, so that both can be given.
func TestAdminWildcardsAreOneFamilyEach(t *testing.T) {
	if probe, err := net.Listen("tcp6", "[::]:0"); err != nil {
		t.Skip("no IPv6 here")
	} else {
		probe.Close()
	}
	four, err := BindAdmin(AdminConfig{Addresses: []string{"0.0.0.0:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	_, port, _ := net.SplitHostPort(four.Bound()[0].String())
	six, err := BindAdmin(AdminConfig{Addresses: []string{"[::]:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	six.Close()
}

func TestAdminBindsAllOrNone(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	a, err := BindAdmin(AdminConfig{Addresses: []string{free.Addr().String(), held.Addr().String()}})
	if err == nil {
		a.Close()
		t.Fatal("bound to an address in use")
	}
	if want := "listen admin " + held.Addr().String() + ": address already in use; hint: "; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "set listen.admin") {
		t.Errorf("got %q, want %q and what to set", err, want)
	}
	held.Close()
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("the other address was not given up: %v", err)
	}
	again.Close()
}
