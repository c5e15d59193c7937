package route

// groupMax is the highest group a template can name: $0 is the whole match.
const groupMax = 9
