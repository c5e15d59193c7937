package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// countTimeout bounds the wait until a proxy has ended the tunnels of a
	// run, which is when it counts them; it lingers for 2 s at most.
	countTimeout = 10 * time.Second

	// metricsBytesMax bounds an answer with metrics.
	metricsBytesMax = 1 << 20

	// bulkReadBytes is the least read that wsplice takes for bulk, after which
	// it may stop following frames.
	bulkReadBytes = 16 << 10
)

// errFrames says that wsplice did not do with the frames of a run what its
// figures are said to be of. Such figures are worthless.
var errFrames = errors.New("frames were not followed as they should be")

// frameCounts are what wsplice counts about a lane's frames.
type frameCounts struct {
	violations int // directions whose frames broke RFC 6455
	blind      int // directions that were spliced without following frames
	refused    int // times that goroutines could not serve a tunnel
	opened     int // tunnels
	warm       int // of them, those that took a connection that was there already
}

// since returns what was counted after before.
func (c frameCounts) since(before frameCounts) frameCounts {
	return frameCounts{
		c.violations - before.violations, c.blind - before.blind, c.refused - before.refused,
		c.opened - before.opened, c.warm - before.warm,
	}
}

// warmPart returns the part of the tunnels that took a warm connection, 0 to 1.
func (c frameCounts) warmPart() float64 { return float64(c.warm) / max(1, float64(c.opened)) }

// countFrames reads what the proxy counted in the run that has ended, and
// judges it. Proxies that count nothing pass.
func (l *lane) countFrames(ctx context.Context) error {
	if l.admin == "" {
		return nil
	}
	now, err := readCounts(ctx, l.admin, countTimeout)
	if err != nil {
		return fmt.Errorf("%s: %w", l.peer.name, err)
	}
	l.counted = now.since(*l.before)
	*l.before = now
	if err := l.counted.judge(l.scenario); err != nil {
		return fmt.Errorf("%s: %w", l.peer.name, err)
	}
	return nil
}

// judge returns what makes the figures of a run worthless, wrapping errFrames:
// after a violation wsplice looks at no frame of that direction any more, and
// blind it may only go in bulk.
func (c frameCounts) judge(s *scenario) error {
	switch {
	case c.violations > 0:
		return fmt.Errorf("%w: %d directions broke RFC 6455", errFrames, c.violations)
	case c.blind > 0 && !s.bulk() && s.size < bulkReadBytes:
		return fmt.Errorf("%w: %d directions went blind, and this is no bulk", errFrames, c.blind)
	case c.refused > 0:
		return fmt.Errorf("%w: %d times there were no descriptors for goroutines", errFrames, c.refused)
	}
	return nil
}

// readCounts waits until no tunnel is open, because violations are counted at
// the end of theirs, and returns the counts since the proxy's start.
func readCounts(ctx context.Context, address string, patience time.Duration) (frameCounts, error) {
	deadline := time.Now().Add(patience)
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	for {
		values, err := readMetrics(ctx, address)
		if err != nil {
			return frameCounts{}, err
		}
		var c frameCounts
		open := 0
		for name, to := range map[string]*int{
			"wsplice_tunnels_open": &open, "wsplice_frame_violations_total": &c.violations,
			"wsplice_blind_total": &c.blind, "wsplice_sync_refused_total": &c.refused,
		} {
			value, ok := values[name]
			if !ok {
				return c, fmt.Errorf("%w: the proxy does not tell %s", errFrames, name)
			}
			*to = int(value)
		}
		c.opened, c.warm = int(values["wsplice_tunnels_opened_total"]), int(values["wsplice_warm_taken_total"])
		switch {
		case open == 0:
			return c, nil
		case time.Now().After(deadline):
			return c, fmt.Errorf("%w: %d tunnels are still open after %v, so theirs are not counted", errFrames, open, patience)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
}

// readMetrics returns the metrics without labels, by name.
func readMetrics(ctx context.Context, address string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, metricsBytesMax))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: answered with %s", response.Status)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, figure, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err := strconv.ParseFloat(figure, 64); err == nil {
			values[name] = value
		}
	}
	return values, nil
}
