"""Where the data of a run lies, and small file systems that can be full."""
import os
import shutil
import subprocess
import tempfile


class Workspace:
    """A directory that goes at the end."""

    def __init__(self, keep):
        self.directory = tempfile.mkdtemp(prefix="adtrack-torture-")
        self.keep = keep

    def path(self, name):
        return os.path.join(self.directory, name)

    def close(self):
        if self.keep:
            print(f"data       {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class Disk:
    """A tmpfs of its own where that is allowed, else a directory that never fills."""

    def __init__(self, path, size):
        self.path = path
        self.size = size
        os.makedirs(path)
        mounted = os.geteuid() == 0 and self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
        self.can_fill = mounted

    def fill(self):
        """Leaves at most what the last block of each file still takes: the file system shrinks to what is in it."""
        found = os.statvfs(self.path)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        # Somebody may write between the look and the call; then the size is too small, and the next look is right.
        for _ in range(20):
            if self._mount("-o", f"remount,size={max(used, 4096)}", self.path):
                return
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize

    def free(self):
        if self.can_fill:
            self._mount("-o", f"remount,size={self.size}", self.path)

    def remove_newest(self, folder, suffix):
        folder = os.path.join(self.path, folder)
        os.remove(os.path.join(folder, max(name for name in os.listdir(folder) if name.endswith(suffix))))

    def close(self):
        if self.can_fill:
            subprocess.run(["umount", "-l", self.path], check=False, stderr=subprocess.DEVNULL)

    @staticmethod
    def _mount(*arguments):
        return subprocess.run(["mount", *arguments], check=False, stderr=subprocess.DEVNULL).returncode == 0
