package splice

const (
	// pipeBytes is the capacity asked for a pipe. A splice(2) moves at most what
	// the pipe holds, so a larger one needs fewer calls: at 16 KiB frames over 4
	// tunnels a GB took 0.53 s of CPU with 64 KiB, 0.40 with 256, 0.33 with 512
	// and with 1,024 KiB. It also bounds what a direction holds for a slow peer.
	pipeBytes = 512 << 10

	// pipeBytesMin is the least capacity worth having: what pipe2(2) gives an
	// ordinary user within pipe-user-pages-soft. Beyond, it gives two pages or
	// one (pipe(7)).
	pipeBytesMin = 64 << 10

	// spliceMost is the most that one splice(2) is asked to move.
	spliceMost = 1 << 20

	// parkedSendMax is the most parked bytes that one send takes. What lies in
	// several buffers is joined for it by copying.
	parkedSendMax = 64 << 10

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
