package importer

// Bounds of what is read. They are far above any configuration of a person's
// making, and keep a hostile one from taking memory or time without end.
const (
	fileBytesMax    = 1 << 20 // one file
	totalBytesMax   = 8 << 20 // all files that include each other
	filesMax        = 512
	includeDepthMax = 16 // files that include each other
	sectionDepthMax = 32 // sections inside sections
	lineBytesMax    = 64 << 10
	directivesMax   = 50_000
	definesMax      = 256
	wordsMax        = 1024 // of one directive
	tokensMax       = 500_000
	listItemsMax    = 4096 // of one list of lighttpd's
)

// Bounds of what is made of it.
const (
	errorsMax       = 20     // reported at once
	serversMax      = 1024   // virtual hosts
	listensMax      = 256    // as package configs allows
	sectionsMax     = 1024   // <Location>
	membersMax      = 256    // of a balancer, as package configs allows
	weightMax       = 100    // as package configs allows
	retriesMax      = 255    // as package configs allows
	routeBytesMax   = 95     // as package configs allows
	condsMax        = 32     // of one rule
	headersMax      = 128    // that one scope sets or removes
	networksMax     = 1024   // that are trusted
	alternativesMax = 8      // routes made from one rule whose conditions hold [OR]
	routesMax       = 4096   // as package configs allows, those left out included
	notesMax        = 10_000 // beyond them the source is not a configuration
	commentRunesMax = 200    // of one line of the source in a comment
	groupsMax       = 9      // $1 to $9
	upstreamNameMax = 58     // with a number behind it, what package configs allows
	socketPathMax   = 107    // sun_path, unix(7)
)
