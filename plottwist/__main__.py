from plottwist.cli import main

main()
