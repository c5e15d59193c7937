package spawn

import "sync/atomic"

// GroupStats are the figures of a group's processes since the start.
type GroupStats struct {
	Name     string // as in Config
	Path     string // of the program
	Running  int    // now, those that were told to end among them
	Starts   uint64 // processes that were started
	Deaths   uint64 // processes that ended and were not told to
	Failures uint64 // processes that could not be started
}

// Stats returns the figures of each group, in the order of Add. It may be called
// from any goroutine once the last group was added.
func (m *Manager) Stats() []GroupStats {
	list := make([]GroupStats, 0, len(m.groups))
	for _, g := range m.groups {
		list = append(list, GroupStats{
			Name: g.config.Name, Path: g.config.Path, Running: int(g.counts.running.Load()),
			Starts: g.counts.starts.Load(), Deaths: g.counts.deaths.Load(), Failures: g.counts.failures.Load(),
		})
	}
	return list
}

// counts are written by the goroutine that owns the groups.
type counts struct {
	running                  atomic.Int64
	starts, deaths, failures atomic.Uint64
}

// begun counts a process that runs.
func (c *counts) begun() {
	c.running.Add(1)
	c.starts.Add(1)
}

// ended counts the end of one. told says whether it is what the process was told.
func (c *counts) ended(told bool) {
	c.running.Add(-1)
	if !told {
		c.deaths.Add(1)
	}
}
