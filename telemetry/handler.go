package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newAdminHandler is what the administrator's server answers. Everything is
// read only.
func newAdminHandler(cfg AdminConfig) (http.Handler, error) {
	metrics, err := newMetricsHandler(cfg.Sources, cfg.Log)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := cfg.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "domain-park "+cfg.Version)
	})
	if cfg.Profiling {
		addProfiles(mux)
	}
	return mux, nil
}

// say answers with a line of text that no cache keeps.
func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// addProfiles serves net/http/pprof, which otherwise registers itself where
// nobody of ours listens.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// newMetricsHandler is /metrics: the sources, the process and the Go runtime.
// It fails when two sources use one name.
func newMetricsHandler(sources []Source, log *slog.Logger) (http.Handler, error) {
	registry, err := newRegistry(sources)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry:            registry,
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError, // what is right is worth more than nothing
		MaxRequestsInFlight: adminScrapes,
	}), nil
}

func newRegistry(sources []Source) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, s := range sources {
		if err := registry.Register(newCollector(s)); err != nil {
			return nil, fmt.Errorf("metrics %s%s and those beside it: %w", prefix, s.Families[0].Name, err)
		}
	}
	return registry, nil
}
