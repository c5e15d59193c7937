package admission

// shardCount is how many parts the table of addresses has, each with a lock of
// its own. A lock is held for one look-up.
const shardCount = 64
