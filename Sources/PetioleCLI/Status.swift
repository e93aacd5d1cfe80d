import ArgumentParser
struct Status: AsyncParsableCommand {}
