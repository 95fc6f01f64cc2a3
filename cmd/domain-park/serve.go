package main

import (
	"log/slog"
	"os"

	"domainpark/config"
)

type serveCommand struct {
	source
}

// Run answers queries until a signal ends it.
func (c *serveCommand) Run() error {
	srv, err := c.load()
	if err != nil {
		return err
	}
	log := newLog(srv.settings, srv.level)
	slog.SetDefault(log)
	return serve(srv, log)
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
