import Foundation
import TestSupport

/// What tests do to the disk under a journal: with tools of the system, and as root only.
enum JournalDisks {
    /// Whether a tmpfs can be mounted: as root, and not in every container.
    static let canMount: Bool = {
        guard geteuid() == 0 else { return false }
        let path = NSTemporaryDirectory() + "adtrack-mounts-\(UUID().uuidString)"
        defer { _ = try? FileManager.default.removeItem(atPath: path) }
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path)
            try run("umount", path)
            return true
        } catch {
            return false
        }
    }()

    /// Whether a file can be mounted as an ext4 file system.
    static let canLoop: Bool = {
        guard canMount else { return false }
        do {
            try run("losetup", "--find")
            try run("mkfs.ext4", "-V")
            return true
        } catch {
            return false
        }
    }()

    /// Runs a program to its end; throws with what it said when it fails.
    @discardableResult
    static func run(_ command: String...) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ServiceFailure("\(command.joined(separator: " ")): \(said)")
        }
        return said
    }

    /// A program of the tests' own in C, by the compiler that comes with Swift's.
    static func compile(_ source: String, to path: String, flags: [String] = []) throws {
        let file = path + ".c"
        try Data(source.utf8).write(to: URL(fileURLWithPath: file))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["clang", "-O1", "-o", path, file] + flags
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ServiceFailure("clang cannot compile \(file)") }
    }

    /// A tmpfs for the time of the body.
    static func withSmallDisk<R>(
        _ directory: TestDirectory,
        options: String,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (String) async throws -> R
    ) async throws -> R {
        let path = directory.path + "/disk"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)
        defer { _ = try? run("umount", "-l", path) }
        return try await body(path)
    }
}

/// An ext4 file system in a file, whose power can be cut: everything that is not on disk is gone.
final class CuttableDisk {
    let path: String
    private let image: String
    private let cutter: String
    private var isMounted = false

    init(_ directory: TestDirectory) throws {
        path = directory.path + "/ext4"
        image = directory.path + "/ext4.image"
        cutter = directory.path + "/cut-power"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try JournalDisks.run("truncate", "-s", "192M", image)
        try JournalDisks.run("mkfs.ext4", "-q", "-F", image)
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: fs/ext4/ext4.h of Linux; the journal of ext4 is not flushed.
        try JournalDisks.compile(
            """
            #include <fcntl.h>
            #include <stdint.h>
            #include <stdio.h>
            #include <sys/ioctl.h>
            int main(int count, char **words) {
                uint32_t flags = 2;
                int descriptor = open(words[1], O_RDONLY);
                if (descriptor < 0 || ioctl(descriptor, _IOR('X', 125, uint32_t), &flags) != 0) { perror("shutdown"); return 1; }
                return 0;
            }
            """,
            to: cutter
        )
        try mount()
    }

    func mount() throws {
        try JournalDisks.run("mount", "-o", "loop", image, path)
        isMounted = true
    }

    func unmount() {
        guard isMounted else { return }
        isMounted = false
        do { try JournalDisks.run("umount", path) } catch { _ = try? JournalDisks.run("umount", "-l", path) }
    }

    func cutPower() throws { try JournalDisks.run(cutter, path) }

    deinit { unmount() }
}

/// A library for `LD_PRELOAD` in front of `fdatasync`: a control file says what it does.
struct SlowSyncs {
    private let control: String
    let library: String

    init(_ directory: TestDirectory) throws {
        control = directory.path + "/sync-control"
        library = directory.path + "/syncs.so"
        try set("")
        try JournalDisks.compile(
            """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <fcntl.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <unistd.h>
            /* "fail N": the next N fail with EIO, and the same descriptor is noted; "sleep MS": each takes so long. */
            static int left = -1; static char last[32];
            static int failed[65536];
            int fdatasync(int descriptor) {
                static int (*real)(int); char text[32] = ""; int amount = 0;
                if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
                int file = open(getenv("SYNC_CONTROL"), O_RDONLY | O_CLOEXEC);
                if (file >= 0) { if (read(file, text, sizeof text - 1) < 0) text[0] = 0; close(file); }
                if (strcmp(text, last)) { strcpy(last, text); left = -1; }
                if (sscanf(text, "sleep %d", &amount) == 1) usleep(amount * 1000);
                char path[64], name[512]; snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
                ssize_t length = readlink(path, name, sizeof name - 1); name[length < 0 ? 0 : length] = 0;
                int isSegment = strstr(name, ".seg") != 0;
                if (isSegment && descriptor < 65536 && failed[descriptor]) {
                    int note = open(getenv("SYNC_NOTES"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
                    if (write(note, "again\\n", 6) < 0) abort();
                    close(note);
                }
                if (isSegment && sscanf(text, "fail %d", &amount) == 1) {
                    if (left < 0) left = amount;
                    if (left > 0) { left--; failed[descriptor] = 1; errno = EIO; return -1; }
                }
                return real(descriptor);
            }
            int close(int descriptor) {
                static int (*real)(int);
                if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, "close");
                if (descriptor >= 0 && descriptor < 65536) failed[descriptor] = 0;
                return real(descriptor);
            }
            """,
            to: library,
            flags: ["-shared", "-fPIC", "-ldl"]
        )
    }

    /// Of the service.
    var environment: [String: String] {
        ["LD_PRELOAD": library, "SYNC_CONTROL": control, "SYNC_NOTES": control + ".notes"]
    }

    func set(_ what: String) throws { try Data(what.utf8).write(to: URL(fileURLWithPath: control)) }

    /// Whether a descriptor was synced again after its sync had failed.
    var wasRetried: Bool { FileManager.default.fileExists(atPath: control + ".notes") }
}
