"""Acts: the server that runs inside Blender. Plain Python 3.7, standard library, pyzmq and msgpack only."""
