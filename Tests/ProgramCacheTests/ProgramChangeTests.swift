import Testing
import TrackingModel

@testable import ProgramCache

@Suite("Changes of core data in the cache")
struct ProgramChangeTests {
    private func cache(_ change: (inout ProgramCache.Limits) -> Void = { _ in }) -> ProgramCache {
        var limits = ProgramCache.Limits()
        change(&limits)
        return ProgramCache(limits)
    }

    private func holding(_ version: Int64?) throws -> ProgramCache {
        var cache = self.cache()
        _ = try cache.load("p", .program(program("p", version: version)), now: 0)
        return cache
    }

    private func pushed(_ version: Int64?) throws -> CoreDataChange {
        .program(try program("p", version: version, name: "pushed"), origin: .pushed)
    }

    private func deleted(_ version: Int64?) throws -> CoreDataChange {
        .deleted(try programID("p"), version: version, origin: .pushed)
    }

    @Test("a push applies when it is newer than what is held")
    func newer() throws {
        var cache = try self.holding(5)
        #expect(cache.apply(try self.pushed(4), now: 0) == .ignored)
        #expect(cache.apply(try self.pushed(5), now: 0) == .ignored)
        #expect(cache.see("p", now: 0) == .hit(5))
        #expect(cache.apply(try self.pushed(6), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(6))
    }

    @Test("a push with a version takes the place of a program without one")
    func versionsBegin() throws {
        var cache = try self.holding(nil)
        #expect(cache.apply(try self.pushed(0), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(0))
    }

    @Test("a push without a version applies to a program without one, else the program is read again")
    func unversioned() throws {
        var cache = try self.holding(nil)
        #expect(cache.apply(try self.pushed(nil), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(nil))
        cache = try self.holding(5)
        _ = cache.apply(try self.pushed(nil), now: 0)
        #expect(cache.see("p", now: 0) == .miss)
        // What was held still counts.
        #expect(try cache.load("p", .program(program("p", version: 4)), now: 0) == .hit(5))
        cache = self.cache()
        #expect(cache.apply(try self.pushed(nil), now: 0) == .ignored)
        #expect(cache.count == 0)
    }

    @Test("a push without a version makes the read that is under way doubtful, whatever it brings")
    func unversionedWhileReading() throws {
        for reading in [ProgramReading.program(try program("p", version: 1)), .absent] {
            var cache = self.cache()
            let id = try programID("p")
            #expect(cache.beginLoad(id, waiter: Waiter()) == true)
            _ = cache.apply(try self.pushed(nil), now: 0)
            #expect(cache.end(id, reading, now: 0) == nil)
            #expect(cache.beginLoad(id, waiter: Waiter()) == false)
            #expect(cache.end(id, .program(try program("p", version: 2)), now: 0) == .hit(2))
        }
    }

    @Test("a push that overtakes the reply of a read wins")
    func overtakes() throws {
        var cache = self.cache { $0.capacity = 1 }
        _ = try cache.load("other", .program(program("other")), now: 0)
        let id = try programID("p")
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
        _ = cache.apply(try self.pushed(7), now: 0)
        #expect(cache.end(id, .program(try program("p", version: 6)), now: 0) == .hit(7))
        #expect(cache.see("p", now: 0) == .hit(7))
    }

    @Test("a reply that is newer than a push wins")
    func replyIsNewer() throws {
        var cache = self.cache()
        let id = try programID("p")
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
        _ = cache.apply(try self.pushed(7), now: 0)
        #expect(cache.end(id, .program(try program("p", version: 8)), now: 0) == .hit(8))
    }

    @Test("after a delete nothing at or below its version returns")
    func tombstone() throws {
        var cache = try self.holding(5)
        #expect(cache.apply(try self.deleted(6), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .unknown)
        for version in [5, 6] as [Int64] {
            #expect(cache.apply(try self.pushed(version), now: 0) == .ignored)
            #expect(try cache.load("p", .program(program("p", version: version)), now: 0) == .unknown)
        }
        #expect(cache.apply(try self.pushed(7), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(7))
        #expect(cache.apply(try self.deleted(6), now: 0) == .ignored)
        #expect(cache.see("p", now: 0) == .hit(7))
    }

    @Test("a delete of an older version changes nothing")
    func lateDelete() throws {
        var cache = try self.holding(5)
        #expect(cache.apply(try self.deleted(4), now: 0) == .ignored)
        #expect(cache.see("p", now: 0) == .hit(5))
    }

    @Test("a delete of what is not held leaves the next answer to a read")
    func deleteOfOthers() throws {
        var cache = self.cache { $0.capacity = 1 }
        _ = try cache.load("p", .program(program("p", version: 8)), now: 0)
        _ = try cache.load("q", .program(program("q", version: 1)), now: 0)
        _ = cache.apply(try self.deleted(5), now: 0)
        #expect(cache.see("p", now: 0) == .miss)
        #expect(try cache.load("p", .program(program("p", version: 8)), now: 0) == .hit(8))
    }

    @Test("a delete while a read is under way is stronger than an older reply")
    func deleteWhileReading() throws {
        var cache = self.cache()
        let id = try programID("p")
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
        _ = cache.apply(try self.pushed(5), now: 0)
        _ = cache.apply(try self.deleted(6), now: 0)
        #expect(cache.end(id, .program(try program("p", version: 5)), now: 0) == .unknown)
        #expect(cache.see("p", now: 0) == .unknown)
    }

    @Test("a delete without a version takes a program without one, else the program is read again")
    func unversionedDelete() throws {
        var cache = try self.holding(nil)
        #expect(cache.apply(try self.deleted(nil), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .miss)
        cache = try self.holding(5)
        _ = cache.apply(try self.deleted(nil), now: 0)
        #expect(cache.see("p", now: 0) == .miss)
    }

    @Test("a read that finds nothing does not let an older push bring the program back")
    func absentThenLatePush() throws {
        var cache = try self.holding(8)
        _ = cache.apply(.recheckAll, now: 0)
        #expect(try cache.load("p", .absent, now: 0) == .unknown)
        for version in [5, 8] as [Int64] {
            #expect(cache.apply(try self.pushed(version), now: 0) == .ignored)
            #expect(cache.see("p", now: 0) == .unknown)
        }
    }

    @Test("a push while a read finds nothing has the program read again, as either may be the older one")
    func pushWhileAbsent() throws {
        var cache = self.cache { $0.capacity = 1 }
        _ = try cache.load("q", .program(program("q", version: 1)), now: 0)
        let id = try programID("p")
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
        _ = cache.apply(try self.pushed(5), now: 0)
        #expect(cache.end(id, .absent, now: 0) == nil)
        #expect(cache.end(id, .absent, now: 0) == .unknown)
    }

    @Test("a recheck makes everything held doubtful, also what is being read")
    func recheck() throws {
        var cache = try self.holding(5)
        _ = try cache.load("none", .absent, now: 0)
        let id = try programID("q")
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
        _ = cache.apply(.recheckAll, now: 0)
        #expect(cache.see("p", now: 0) == .miss)
        #expect(cache.see("none", now: 0) == .miss)
        #expect(cache.end(id, .program(try program("q")), now: 0) == nil)
        #expect(cache.end(id, .program(try program("q")), now: 0) == .hit(nil))
        #expect(cache.see("q", now: 0) == .hit(nil))
        #expect(try cache.load("p", .program(program("p", version: 5)), now: 0) == .hit(5))
        #expect(cache.see("p", now: 0) == .hit(5))
    }

    @Test("embedded programs are replaced as a whole")
    func replaced() throws {
        var cache = try self.holding(5)
        _ = cache.apply(try self.deleted(6), now: 0)
        _ = cache.apply(.replacedAll, now: 0)
        #expect(cache.count == 0)
        #expect(try cache.load("p", .program(program("p", version: 1)), now: 0) == .hit(1))
    }

    @Test("what another loop has read is taken where an older one is held, and not kept else")
    func learned() throws {
        var cache = try self.holding(5)
        #expect(cache.apply(.program(try program("p", version: 6), origin: .learned), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(6))
        #expect(cache.apply(.program(try program("q", version: 6), origin: .learned), now: 0) == .ignored)
        #expect(cache.see("q", now: 0) == .miss)
        // A push that is older than what another loop has already answered with comes too late; a newer one applies.
        _ = cache.apply(.program(try program("q", version: 5), origin: .pushed), now: 0)
        #expect(cache.see("q", now: 0) == .miss)
        _ = cache.apply(.program(try program("q", version: 7), origin: .pushed), now: 0)
        #expect(cache.see("q", now: 0) == .hit(7))
    }

    @Test("a push about a program that no loop holds is kept, also after it was deleted or not found")
    func pushOfUnheld() throws {
        var cache = self.cache()
        #expect(cache.apply(try self.pushed(3), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(3))
        _ = cache.apply(try self.deleted(4), now: 0)
        #expect(cache.apply(try self.pushed(5), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(5))
        _ = cache.apply(.recheckAll, now: 0)
        #expect(try cache.load("p", .absent, now: 0) == .unknown)
        #expect(cache.apply(try self.pushed(6), now: 0) == .applied)
        #expect(cache.see("p", now: 0) == .hit(6))
    }

    @Test("a push to a full cache pushes nobody out")
    func fullCache() throws {
        var cache = self.cache { $0.capacity = 1 }
        _ = try cache.load("q", .program(program("q")), now: 0)
        #expect(cache.apply(try self.pushed(1), now: 0) == .ignored)
        #expect(cache.see("q", now: 0) == .hit(nil))
        #expect(cache.see("p", now: 0) == .miss)
    }
}
