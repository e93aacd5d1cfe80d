import ArgumentParser
struct Prune: AsyncParsableCommand {}
