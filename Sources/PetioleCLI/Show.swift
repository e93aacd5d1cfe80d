import ArgumentParser
struct Show: AsyncParsableCommand {}
