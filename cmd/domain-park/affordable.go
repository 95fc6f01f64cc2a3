package main

import (
	"context"
	"log/slog"
	"math"
)

// connections.total is a promise to close what has been idle for longest before
// something runs out. It can't be kept when descriptors or memory run out
// first: accepting fails then, for everybody, or the kernel ends the program.
// So the total that holds is never more than what this process can have.
const (
	// keptDescriptors are for listeners, files, and connections that are being
	// closed; where there are hardly more, three quarters of them are.
	keptDescriptors = 256

	// connectionBytes is more than the dearest kind of idle connection over TCP
	// takes, DoH over HTTP/1.1: measured 30 KB resident with 18,000 of them.
	// HTTP/2 and DoT take 17 KB, TCP 7 KB.
	connectionBytes = 48 << 10

	// fewestConnections are kept even where memory is said to be less.
	fewestConnections = 100
)

// affordable is how many of total connections this process can have open,
// whatever they are.
func affordable(total int, descriptors uint64, memory int64) int {
	all := int64(min(descriptors, math.MaxInt32))
	byDescriptors := max(all-keptDescriptors, all/4)
	byMemory := max((memory-calmBytes)/connectionBytes, fewestConnections)
	return int(max(1, min(int64(total), byDescriptors, byMemory)))
}

// affordable is total, of policy.connections, or what can be had of it.
func (srv *server) affordable(total int) int {
	return affordable(total, descriptorLimit(), srv.memory.most)
}

// announceTotal tells when that is less than the setting. It is a warning when
// the operator has asked for more.
func (srv *server) announceTotal(log *slog.Logger) {
	wanted, level := srv.settings.Policy.Connections.Total, slog.LevelInfo
	if srv.settings.Given("policy.connections.total") {
		level = slog.LevelWarn
	}
	if total := srv.affordable(wanted); total < wanted {
		log.Log(context.Background(), level, "fewer connections than policy.connections.total will be open at once; "+
			"hint: raise the limit of open files (LimitNOFILE=), give more memory, or lower the setting",
			"setting", wanted, "total", total, "files", descriptorLimit(), "memory", srv.memory.most)
	}
}
