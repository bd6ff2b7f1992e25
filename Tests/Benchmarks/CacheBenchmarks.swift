import ProgramCache
import TrackingModel

private final class Nobody: ProgramWaiter {
    func programArrived(_ outcome: ProgramCache.Outcome) {}
}

/// Look-ups in a full cache of 100,000 programs, and the same in a Dictionary for comparison.
enum CacheBenchmarks {
    private static let capacity = 100_000

    static func run() {
        let keys = (0..<2 * self.capacity).map { Array("program-\($0)".utf8) }
        let programs = keys.map { self.program($0) }
        var cache = ProgramCache(ProgramCache.Limits())
        var dictionary: [[UInt8]: RenderedProgram] = [:]
        dictionary.reserveCapacity(self.capacity)
        for index in 0..<self.capacity {
            self.put(programs[index], into: &cache)
            dictionary[keys[index]] = RenderedProgram(programs[index])
        }
        var random = SystemRandomNumberGenerator()
        let any = (0..<1 << 16).map { _ in Int.random(in: 0..<self.capacity, using: &random) }
        let hot = (0..<1 << 16).map { _ in Int.random(in: 0..<1_000, using: &random) }
        let none = (0..<1 << 16).map { _ in Int.random(in: self.capacity..<2 * self.capacity, using: &random) }
        Table.print("L1, \(cache.count) programs")
        for (name, order) in [("hit, any of 100,000", any), ("hit, one of 1,000 hot", hot), ("miss", none)] {
            let reference = Measurement("Dictionary", operations: 500_000) { count in
                var found = 0
                for step in 0..<count where dictionary[keys[order[step & 0xffff]]] != nil { found += 1 }
                return found
            }
            let measured = Measurement("  " + name, operations: 500_000) { count in
                var found = 0
                for step in 0..<count {
                    let key = keys[order[step & 0xffff]]
                    if case .hit = cache.lookup(key.span, now: 1) { found += 1 }
                }
                return found
            }
            Table.print(measured, to: reference)
        }
        var next = self.capacity
        Table.print(
            Measurement("  insert that evicts (begin and end of a load)", operations: 50_000) { count in
                for _ in 0..<count {
                    self.put(programs[next], into: &cache)
                    next = next + 1 < programs.count ? next + 1 : 0
                }
                return cache.count
            }
        )
        Table.print(
            Measurement("  rendering alone", operations: 50_000) { count in
                var bytes = 0
                for step in 0..<count where RenderedProgram(programs[step]).version == nil { bytes += 1 }
                return bytes
            }
        )
    }

    private static func put(_ program: Program, into cache: inout ProgramCache) {
        _ = cache.beginLoad(program.id, waiter: Nobody())
        _ = cache.endLoad(program.id, .program(program), now: 0)
    }

    private static func program(_ key: [UInt8]) -> Program {
        guard let id = ProgramID(bytes: key.span) else { preconditionFailure("a benchmark's own id") }
        var program = Program(id: id)
        program.name = "Summer campaign"
        program.checksum = "0123456789abcdef"
        program.customerID = 4_711
        program.customerName = "Customer"
        program.isValid = true
        return program
    }
}
