// Runs the circuit on the vectors of this folder, one event at every clock edge, and compares every output word with the
// expected one. For Verilator (make check), Vivado's simulator and others: start it in the folder that holds vectors/.

`timescale 1 ns / 1 ps

module words;
    localparam N_EVENTS = @N_EVENTS@, N_INPUTS = @N_INPUTS@, N_OUTPUTS = @N_OUTPUTS@;
    localparam LATENCY = @LATENCY@;  // clock edges from the one that takes the inputs to the one that has their outputs
    localparam SHOWN = 10;

    reg clk;
    reg [@INPUT_BITS@ - 1:0] model_inp;
    wire [@OUTPUT_BITS@ - 1:0] model_out;
    @TOP@ circuit (.clk(clk), .model_inp(model_inp), .model_out(model_out));

    reg signed [63:0] in [0:N_INPUTS - 1];
    reg signed [63:0] found [0:N_OUTPUTS - 1];
    reg signed [63:0] expected, event_number, reason;
    reg [8 * 512 - 1:0] title;
    integer inputs, outputs, events, edges, given, compared, different, i, got;

    // Where the bits of each number are: interface.json.
    task pack;
        begin
            model_inp = 0;
@PACK@
        end
    endtask

    task unpack;
        begin
@UNPACK@
        end
    endtask

    task read_event;
        begin
            got = 0;
            for (i = 0; i < N_INPUTS; i = i + 1)
                if ($fscanf(inputs, "%d", in[i]) == 1) got = got + 1;
        end
    endtask

    task compare;
        begin
            if ($fscanf(events, "%d %d", event_number, reason) != 2) event_number = -1;
            for (i = 0; i < N_OUTPUTS; i = i + 1)
                if ($fscanf(outputs, "%d", expected) != 1) begin
                    $display("vectors/outputs.txt: no word for output %0d of vector %0d", i, compared);
                    different = different + 1;
                end else if (found[i] !== expected) begin
                    different = different + 1;
                    if (different <= SHOWN)
                        $display("vector %0d (test event %0d), output %0d: expected word %0d, found %0d",
                                 compared, event_number, i, expected, found[i]);
                end
            compared = compared + 1;
        end
    endtask

    initial begin
        clk = 0;
        given = 0;
        compared = 0;
        different = 0;
        inputs = $fopen("vectors/inputs.txt", "r");
        outputs = $fopen("vectors/outputs.txt", "r");
        events = $fopen("vectors/events.txt", "r");
        if (inputs == 0 || outputs == 0 || events == 0) begin
            $display("vectors/inputs.txt, outputs.txt or events.txt: cannot be read from here");
            $finish(0);
        end else begin
            got = $fgets(title, inputs);
            got = $fgets(title, outputs);
            got = $fgets(title, events);
            read_event;
            for (edges = 0; got == N_INPUTS || compared < given; edges = edges + 1) begin
                if (got == N_INPUTS) begin
                    pack;
                    given = given + 1;
                    read_event;
                end
                #1 clk = 1;
                #1;
                if (edges >= LATENCY) begin
                    unpack;
                    compare;
                end
                clk = 0;
            end
            if (got != 0 || given != N_EVENTS || $fscanf(outputs, "%d", expected) == 1)
                $display("vectors: %0d whole events of %0d, or more outputs than events", given, N_EVENTS);
            else
                $display("words: %0d of %0d differ", different, N_EVENTS * N_OUTPUTS);
            $finish(0);
        end
    end
endmodule
