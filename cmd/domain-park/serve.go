package main

import (
	"log/slog"
	"os"

	"domainpark/config"
)

type serveCommand struct {
	source
	Overlap bool `help:"Start beside a running server of the same addresses, to take over from it: stop that one when this one is ready."`
}

// Run answers queries until a signal ends it.
func (c *serveCommand) Run(signals *caught) error {
	loaded := signals.whileLoading()
	if err := c.inherit(); err != nil {
		return err
	}
	srv, err := c.load()
	if err != nil {
		return err
	}
	srv.overlap = c.Overlap
	log := newLog(srv.settings, srv.level)
	slog.SetDefault(log)
	loaded()
	return serve(srv, signals, log)
}

// newLog writes to standard error, as the settings say, and from then on what
// level says.
func newLog(s *config.Settings, level *slog.LevelVar) *slog.Logger {
	level.Set(logLevel(s))
	options := &slog.HandlerOptions{Level: level}
	if s.Telemetry.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

func logLevel(s *config.Settings) (level slog.Level) {
	if err := level.UnmarshalText([]byte(s.Telemetry.Log.Level)); err != nil {
		panic(err) // the settings allow slog's own names and no others
	}
	return level
}
