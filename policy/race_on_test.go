//go:build race

package policy

// raceEnabled: the race detector makes the long tests ten times longer.
const raceEnabled = true
