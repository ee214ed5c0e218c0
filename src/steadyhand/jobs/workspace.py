"""The workspace: where artifacts, unfinished stages, keys and runs lie.

objects/   artifacts by hash            stages/  one directory per unfinished stage
actions/   which key made which         runs/    one directory per run, for people
trees/     checked-out artifacts        keys/    the signing key of this workspace
measured/  what differs each time       locks/   freed by the kernel when a process ends
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import IntegrityError, StorageError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.store.actions import ActionCache
from steadyhand.store.atomic import read_json, write_json
from steadyhand.store.local_store import LocalStore
from steadyhand.store.trees import checkout, hash_tree, put_tree, read_tree

DIRECTORIES = ("measured", "stages", "trees", "keys", "runs", "locks")


class Workspace:
    """The directory that everything of this machine is kept in.

    Args:
        root: Created if it does not exist.

    Raises:
        StorageError: If it cannot be created or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            for name in DIRECTORIES:
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, f"opening workspace {str(root)!r}") from error
        self.store = LocalStore(self.root)
        self.actions = ActionCache(self.root / "actions")

    @property
    def keys(self) -> Path:
        """Directory of the signing key."""
        return self.root / "keys"

    @property
    def runs(self) -> Path:
        """Directory of the runs."""
        return self.root / "runs"

    def lock_path(self, name: str) -> Path:
        """Return the lock file of a run or a stage."""
        return self.root / "locks" / f"{name}.lock"

    def stage_directory(self, key: str) -> Path:
        """Return the directory an unfinished stage works in."""
        return self.root / "stages" / key

    def put(self, directory: Path, progress: Progress) -> str:
        """Store a directory so that it can be read back; return the digest of its tree."""
        digest = put_tree(self.store, directory)
        try:
            self.tree(digest, progress)
        except IntegrityError:
            # The store is create-only: a damaged object of the same name must go first.
            self._drop_damaged(digest)
            put_tree(self.store, directory)
            self.tree(digest, progress)
        return digest

    def tree(self, digest: str, progress: Progress) -> Path:
        """Return a directory that holds an artifact, checked out and verified.

        Raises:
            IntegrityError: If the stored bytes are damaged.
        """
        directory = self.root / "trees" / digest
        if directory.is_dir():
            if hash_tree(directory) == digest:
                return directory
            progress.say(f"{directory} was changed; it is restored from the store")
            shutil.rmtree(directory)
        checkout(self.store, digest, directory)
        return directory

    def record(self, key: str, output: str, measured: Mapping[str, Any]) -> None:
        """Record that a stage is complete; the last thing that is written for it.

        Args:
            key: Key of the stage.
            output: Digest of its artifact; for one key it is always the same.
            measured: What may differ each time.

        Raises:
            IntegrityError: If the same key led to another artifact before.
        """
        write_json(self.root / "measured" / f"{key}.json", measured)
        self.actions.put(key, {"output": output})

    def recall(self, key: str, progress: Progress) -> tuple[str, dict[str, Any]] | None:
        """Return what was recorded for a stage, if its artifacts can still be read back whole.

        Args:
            key: Key of the stage.
            progress: Told what is damaged; damaged objects are dropped, so that they can be
                made again.
        """
        action = self.actions.get(key)
        path = self.root / "measured" / f"{key}.json"
        if action is None or not path.exists():
            return None
        measured = dict(read_json(path))
        for digest in (action["output"], measured["measurements"]):
            try:
                if digest is not None:
                    self.tree(digest, progress)
            except (IntegrityError, StorageError) as error:
                progress.say(f"artifact {digest[:12]} cannot be reused: {error}")
                self._drop_damaged(digest)
                return None
        return str(action["output"]), measured

    def _drop_damaged(self, digest: str) -> None:
        """Remove the objects of a tree that do not hash to their names."""
        try:
            names = [blob for f in read_tree(self.store, digest).values() for blob in f["blobs"]]
        except (IntegrityError, StorageError):
            names = [digest]
        for name in names:
            try:
                self.store.get(name)
            except IntegrityError:
                self.store.open_path(name).unlink()
            except StorageError:
                continue
