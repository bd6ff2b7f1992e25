import Foundation
import SwiftProtobuf
import TestSupport
import Testing
import TrackingModel

extension Integration {
    /// What is recorded, read by another implementation: Python's protobuf with classes that protoc makes of the schema.
    @Suite("The event's schema")
    struct ProtobufTests {
        /// Reads a file of length-delimited events and prints a JSON object for each: all fields, whether its bytes come
        /// out as they went in, the first eight through the older schema, and whether that keeps what it doesn't know.
        private static let script = """
            import json, sys
            sys.path.insert(0, sys.argv[1])
            import tracking_pb2, older_pb2
            from google.protobuf.internal.decoder import _DecodeVarint32

            data = open(sys.argv[2], "rb").read()
            place = 0
            while place < len(data):
                length, place = _DecodeVarint32(data, place)
                raw = data[place:place + length]
                place += length
                event = tracking_pb2.TrackingEvent.FromString(raw)
                older = older_pb2.OlderEvent.FromString(raw)
                fields = {f.name: getattr(event, f.name) for f in event.DESCRIPTOR.fields if f.name != "parameters"}
                print(json.dumps({
                    "fields": {name: str(value) for name, value in fields.items()},
                    "parameters": dict(event.parameters),
                    "older": [str(getattr(older, f.name)) for f in older.DESCRIPTOR.fields],
                    "kept": tracking_pb2.TrackingEvent.FromString(older.SerializeToString()) == event,
                    "strange": tracking_pb2.TrackingEvent.FromString(raw + b"\\xa2\\x06\\x01x").SerializeToString().hex(),
                }))
            """

        /// Fields 1 to 8 as the system that adtrack replaces has them.
        private static let olderSchema = """
            syntax = "proto3";
            message OlderEvent {
              string programid = 1;
              string checksum = 2;
              int32 customer_id = 3;
              string user_agent = 4;
              string program_name = 5;
              string customer_name = 6;
              bool is_valid = 7;
              string message_id = 8;
            }
            """

        private struct Reading: Decodable {
            let fields: [String: String]
            let parameters: [String: String]
            let older: [String]
            let kept: Bool
            let strange: String
        }

        private func read(_ file: String, in directory: TestDirectory) throws -> [Reading] {
            let protos = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().appendingPathComponent("Protos").path
            try directory.write(Self.olderSchema, to: "older.proto")
            try Command.run(
                "/usr/bin/protoc",
                ["-I", protos, "-I", directory.path, "--python_out", directory.path, "tracking.proto", "older.proto"]
            )
            let script = try directory.write(Self.script, to: "read.py")
            return try Command.run("/usr/bin/python3", [script, directory.path, file]).split(separator: "\n")
                .map { try JSONDecoder().decode(Reading.self, from: Data($0.utf8)) }
        }

        @Test("Python reads every field of what the service recorded, and keeps the fields that it doesn't know")
        func recorded() async throws {
            try await Service.with { service async throws in
                let agent = "é \"quoted\""
                for index in 0..<20 {
                    let target = "/event/212312?type=conversion&order=\(index)&u=%C3%BC"
                    #expect(try service.get(target, headers: ["User-Agent: \(agent)"]).status == 200)
                }
                #expect(try await service.stop() == .status(0))
                let names = try FileManager.default.contentsOfDirectory(atPath: service.directory.events)
                let name = try #require(names.first { $0.hasSuffix(".pb") })
                let readings = try self.read(service.directory.events + "/" + name, in: service.directory)
                let events = try EventFiles.read(service.directory.events)
                #expect(readings.count == 20 && events.count == 20)
                for (reading, event) in zip(readings, events) {
                    #expect(reading.fields["message_id"] == event.messageID)
                    #expect(reading.fields["programid"] == "212312")
                    #expect(reading.fields["customer_id"] == "\(event.customerID)")
                    #expect(reading.fields["user_agent"] == agent)
                    #expect(reading.fields["is_valid"] == "True")
                    #expect(reading.fields["event_type"] == "2")
                    #expect(reading.fields["time"] == "\(event.time)")
                    #expect(reading.fields["program_version"] == "\(event.programVersion)")
                    #expect(reading.parameters == event.parameters)
                    #expect(
                        reading.older == [
                            event.programid, event.checksum, "\(event.customerID)", event.userAgent, event.programName,
                            event.customerName, "True", event.messageID,
                        ]
                    )
                    #expect(reading.kept)
                    #expect(reading.strange.hasSuffix("a2060178"))
                }
            }
        }

        @Test("The bytes of fields 1 to 8 are those of the older schema; unknown fields are kept by us too")
        func golden() throws {
            let event = Adtrack_TrackingEvent.with {
                $0.programid = "212312"
                $0.checksum = "c"
                $0.customerID = 98
                $0.userAgent = "u"
                $0.programName = "n"
                $0.customerName = "k"
                $0.isValid = true
                $0.messageID = "m"
            }
            let golden: [UInt8] = [
                0x0a, 6, 0x32, 0x31, 0x32, 0x33, 0x31, 0x32, 0x12, 1, 0x63, 0x18, 98, 0x22, 1, 0x75, 0x2a, 1, 0x6e,
                0x32, 1,
                0x6b, 0x38, 1, 0x42, 1, 0x6d,
            ]
            #expect(try event.serializedBytes() as [UInt8] == golden)
            let strange = golden + [0xa2, 0x06, 1, 0x78]
            #expect(try Adtrack_TrackingEvent(serializedBytes: strange).serializedBytes() as [UInt8] == strange)
        }
    }
}
