package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
)

// TestServeTakesAListOfAddresses runs the two commands as the comparison
// does, as processes that talk by lines of JSON.
func TestServeTakesAListOfAddresses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	backend, err := start("backend", self, "serve", "--mode", "echo", "--address", "127.0.0.1:0,127.0.0.1:0,127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	var up serving
	if err := backend.readLine(ctx, &up); err != nil || strings.Count(up.Address, ",") != 2 {
		t.Fatalf("%+v, %v, want three addresses", up, err)
	}
	for _, args := range [][]string{
		{"--scenario", "churn", "--sources", "2"},
		{"--scenario", "storm"},
		{"--scenario", "open", "--rate", "1000", "--idlers", "10"},
	} {
		args = append(args, "--address", up.Address, "--tunnels", "5", "--warmup", "10ms", "--duration", "200ms")
		client, err := start("load", append([]string{self, "load"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var res load.Result
		if err := client.readLine(ctx, &res); err != nil || res.Messages == 0 || res.Errors != 0 {
			t.Errorf("%v: %+v, %v", args, res, err)
		}
		client.stop()
	}
}
