//go:build race

package main

// raceDetector takes five times the memory and ten times the time.
const raceDetector = true
