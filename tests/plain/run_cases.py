"""Runs the cases of this folder in the Python that was started with it, of which nothing but zmq and msgpack is asked.

python -I run_cases.py FOLDER_WITH_ZMQ_AND_MSGPACK
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def main():
    sys.dont_write_bytecode = True
    sys.path[:0] = [ROOT, os.path.abspath(sys.argv[1])]
    cases = unittest.defaultTestLoader.discover(HERE, pattern="*_cases.py", top_level_dir=HERE)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(cases)
    print("RAN {} IN {}.{}".format(result.testsRun - len(result.skipped), *sys.version_info[:2]))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
