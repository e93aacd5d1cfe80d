import ArgumentParser
struct Jobs: AsyncParsableCommand {}
