package main

import (
	"fmt"
	"log/slog"
	"strings"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells the service manager, if there is one, what becomes of the
// program (sd_notify(3)). What can't be told costs a line in the log.
func tellManager(log *slog.Logger, what ...string) {
	const keep = false // the variable: there is more to tell
	if _, err := sd.SdNotify(keep, strings.Join(what, "\n")); err != nil {
		log.Warn("the service manager can't be told how the server is doing", "error", err)
	}
}

// status is a line for people who ask the service manager.
func status(format string, args ...any) string { return "STATUS=" + fmt.Sprintf(format, args...) }

// tellReady says that every address is bound. Queries are answered as soon as
// this process gets to it.
func (srv *server) tellReady(log *slog.Logger) {
	tellManager(log, sd.SdNotifyReady, srv.servingStatus())
}

func (srv *server) servingStatus() string {
	return status("answers on %d addresses", len(srv.set.Bound()))
}

// tellStopping says that the server drains.
func tellStopping(log *slog.Logger) {
	tellManager(log, sd.SdNotifyStopping, status("stops: connections are drained"))
}

// tellReload says that settings are read anew; end says that this is over. A
// reload that failed leaves the server as it was, so it is ready all the same.
func (srv *server) tellReload(log *slog.Logger) (end func(error)) {
	tellManager(log, sd.SdNotifyReloading, strings.TrimSpace(sd.SdNotifyMonotonicUsec()), status("reads its settings anew"))
	return func(err error) {
		outcome := srv.servingStatus()
		if err != nil {
			srv.explainRights(err, log)
			outcome = status("the last reload failed, and the settings from before it hold: see the log")
		}
		tellManager(log, sd.SdNotifyReady, outcome)
	}
}
