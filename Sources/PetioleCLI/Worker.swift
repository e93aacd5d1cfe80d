import ArgumentParser
struct Worker: AsyncParsableCommand {}
