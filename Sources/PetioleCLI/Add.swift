import ArgumentParser
struct Add: AsyncParsableCommand {}
