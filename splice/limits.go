package splice

const (
	// pipeBytes is the capacity asked for a pipe: 16 slots of a page, the
	// kernel's own default. A slot holds a whole fragment of a received packet,
	// which on loopback and with GRO is up to 32 KiB, so a pipe moves more than
	// its size says.
	pipeBytes = 64 << 10

	// pipeBytesMin is the least capacity worth having. An ordinary user beyond
	// pipe-user-pages-soft gets pipes of one or two pages (pipe(7)).
	pipeBytesMin = 64 << 10

	// spliceMost is the most that one splice(2) is asked to move.
	spliceMost = 1 << 20

	// turnBytes is how much a direction moves before others get their turn.
	turnBytes = 1 << 20

	// idlePipesMax is how many empty pipes a loop keeps for the next bulk.
	idlePipesMax = 16

	// refusalPause is for how many requests no pipe is tried after the kernel
	// gave none: a failed pipe2(2) costs about as much as copying 16 KiB.
	refusalPause = 256

	// pipeHeadroom is how many descriptors pipes leave for tunnels.
	pipeHeadroom = 128

	// bulkReadBytes and bulkReads say when a direction has turned bulk: so many
	// reads in a row that each brought at least so much. Below, two system calls
	// and a pipe cost more than copying.
	bulkReadBytes = 32 << 10
	bulkReads     = 2

	// smallMoveBytes and smallMoves say when bulk is over: so many moves in a
	// row that each carried less.
	smallMoveBytes = 8 << 10
	smallMoves     = 4
)
