import Foundation
import SwiftProtobuf
public import TrackingModel

/// The events that a file sink has written.
public enum EventFiles {
    /// Every event of every `*.pb` file of a directory, in the order of names and places; throws at the first torn one.
    public static func read(_ directory: String) throws -> [Adtrack_TrackingEvent] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".pb") }
            .sorted()
        return try names.flatMap {
            try events(of: [UInt8](Data(contentsOf: URL(fileURLWithPath: directory + "/" + $0))), $0)
        }
    }

    /// The message ids, each as often as it was written; none while the directory does not exist.
    public static func ids(_ directory: String) throws -> [String] {
        guard FileManager.default.fileExists(atPath: directory) else { return [] }
        return try read(directory).map(\.messageID)
    }

    public static func event(_ bytes: [UInt8]) throws -> Adtrack_TrackingEvent {
        try Adtrack_TrackingEvent(serializedBytes: bytes)
    }

    private static func events(of bytes: [UInt8], _ name: String) throws -> [Adtrack_TrackingEvent] {
        var events: [Adtrack_TrackingEvent] = []
        var place = 0
        while place < bytes.count {
            let start = place
            var length = 0
            var shift = 0
            while true {
                guard place < bytes.count, shift < 35 else {
                    throw ServiceFailure("\(name): a torn length at \(start)")
                }
                let byte = bytes[place]
                place += 1
                length |= Int(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { break }
            }
            guard bytes.count - place >= length else { throw ServiceFailure("\(name): a torn event at \(start)") }
            events.append(try event(Array(bytes[place..<place + length])))
            place += length
        }
        return events
    }
}
